"""Rows are scored: metrics in order, a row a label, the confusion matrix, the surest mistakes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.data.table import TextSet
from adapterhub_lite.errors import PluginConflictError
from adapterhub_lite.evaluation import decide, evaluate
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.plugins import PluginSource, installed_sources
from adapterhub_lite.specs import MetricSpec

Floats = NDArray[np.float64]


@dataclass
class Oracle:
    """A scorer that answers what it was told to."""

    answers: Sequence[Sequence[float]]
    classes: tuple[str, ...] = ("cat", "dog", "eel")
    multi_label: bool = False
    threshold: float = 0.5
    asked: list[str] = field(default_factory=list)

    def predict_proba(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> Floats:
        self.asked += texts
        if progress:
            progress(len(texts))
        return np.array(self.answers, dtype=float)


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resample less than in earnest: how wide intervals are is tested elsewhere."""
    monkeypatch.setattr("adapterhub_lite.evaluation.intervals.RESAMPLES", 20)


def rows_of(*labels: tuple[str, ...], multi_label: bool = False) -> TextSet:
    return TextSet(tuple(f"text {i}" for i in range(len(labels))), labels, multi_label)


def share_of_dogs(truth: NDArray[np.bool_], decision: NDArray[np.bool_], _: Floats) -> float:
    """Return how many rows were called a dog."""
    return float(decision[:, 1].mean())


def metric_plugin(name: str, distribution: str, **fields: Any) -> PluginSource:
    """Make a distribution that offers one metric."""
    values = {"tasks": frozenset({"text-classification"}), **fields}

    @hookimpl
    def adapterhub_metrics() -> list[MetricSpec]:
        where = f"{__name__}:share_of_dogs"
        return [MetricSpec(name=name, summary="Dogs.", implementation=where, **values)]

    module = ModuleType(distribution)
    vars(module)["adapterhub_metrics"] = adapterhub_metrics
    return PluginSource("dogs", distribution, "1.0", lambda: module)


def catalogue_with(*sources: PluginSource) -> Catalogue:
    return Catalogue([*installed_sources(first_party_only=True), *sources])


ANSWERS = [
    [0.8, 0.1, 0.1],  # cat, right
    [0.2, 0.7, 0.1],  # dog, and it is a cat
    [0.1, 0.6, 0.3],  # dog, right
    [0.05, 0.9, 0.05],  # dog, and it is an eel
    [0.4, 0.3, 0.3],  # cat, and it is an eel
]
ROWS = rows_of(("cat",), ("cat",), ("dog",), ("eel",), ("eel",))


def test_labels_confusion_and_mistakes() -> None:
    scorer = Oracle(ANSWERS)
    found = evaluate(scorer, ROWS, catalogue_with())
    assert scorer.asked == list(ROWS.texts)
    assert found.rows == 5
    assert found.confusion == ((1, 1, 0), (0, 1, 0), (1, 1, 0))
    assert [row.label for row in found.classes] == ["cat", "dog", "eel"]
    assert [row.support for row in found.classes] == [2, 1, 2]
    cat, dog, eel = found.classes
    assert (cat.precision, cat.recall, cat.f1) == pytest.approx((0.5, 0.5, 0.5))
    assert (dog.precision, dog.recall, dog.f1) == pytest.approx((1 / 3, 1.0, 0.5))
    assert (eel.precision, eel.recall, eel.f1) == (0.0, 0.0, 0.0)
    assert found.mistakes == (
        ("text 3", "eel", "dog"),
        ("text 1", "cat", "dog"),
        ("text 4", "eel", "cat"),
    )


def test_accuracy_comes_first_and_the_others_by_name() -> None:
    found = evaluate(Oracle(ANSWERS), ROWS, catalogue_with())
    names = [metric.name for metric in found.metrics]
    assert names[0] == "accuracy"
    assert names[1:] == sorted(names[1:])
    assert set(names) == {"accuracy", "log_loss", "macro_f1", "matthews", "micro_f1"}
    assert found.value("accuracy") == pytest.approx(2 / 5)
    for metric in found.metrics:
        low, high = metric.interval
        assert low <= high
        assert np.isfinite([metric.value, low, high]).all()
    assert found == evaluate(Oracle(ANSWERS), ROWS, catalogue_with()), "it is repeatable"


def test_a_metric_that_is_asked_for_and_absent() -> None:
    with pytest.raises(StopIteration):
        evaluate(Oracle(ANSWERS), ROWS, catalogue_with()).value("nonesuch")


def test_only_the_twenty_surest_mistakes_are_kept() -> None:
    sure = np.linspace(0.55, 0.95, 30)
    scorer = Oracle([[p, 1 - p, 0.0] for p in sure])
    found = evaluate(scorer, rows_of(*[("dog",)] * 30), catalogue_with())
    assert [text for text, _, _ in found.mistakes] == [f"text {i}" for i in range(29, 9, -1)]


def test_rows_with_several_labels() -> None:
    scorer = Oracle(
        [[0.9, 0.8, 0.1], [0.6, 0.2, 0.1], [0.1, 0.2, 0.3]], multi_label=True, threshold=0.5
    )
    rows = rows_of(("cat", "dog"), ("dog", "cat"), (), multi_label=True)
    found = evaluate(scorer, rows, catalogue_with())
    assert found.confusion is None
    assert found.value("accuracy") == pytest.approx(2 / 3)
    assert "matthews" not in {metric.name for metric in found.metrics}
    assert found.mistakes == (("text 1", "cat, dog", "cat"),)
    assert [row.support for row in found.classes] == [2, 2, 0]


def test_the_threshold_decides_what_is_scored() -> None:
    rows = rows_of(("cat",), multi_label=True)
    for threshold, right in ((0.3, 1.0), (0.5, 0.0)):
        scorer = Oracle([[0.4, 0.1, 0.1]], multi_label=True, threshold=threshold)
        assert evaluate(scorer, rows, catalogue_with()).value("accuracy") == right


def test_a_strangers_metric_appears() -> None:
    catalogue = catalogue_with(metric_plugin("dogs", "acme"))
    found = evaluate(Oracle(ANSWERS), ROWS, catalogue)
    assert found.metrics[0].name == "accuracy"
    assert found.value("dogs") == pytest.approx(3 / 5)


def test_a_metric_for_one_label_a_row_is_left_out_of_others() -> None:
    catalogue = catalogue_with(metric_plugin("dogs", "acme", multi_label=False))
    many = Oracle([[0.9, 0.8, 0.1], [0.6, 0.2, 0.1]], multi_label=True)
    rows = rows_of(("cat",), ("dog",), multi_label=True)
    assert "dogs" not in {m.name for m in evaluate(many, rows, catalogue).metrics}
    assert "dogs" in {m.name for m in evaluate(Oracle(ANSWERS), ROWS, catalogue).metrics}


def test_a_metric_for_another_task_is_left_out() -> None:
    catalogue = catalogue_with(metric_plugin("dogs", "acme", tasks=frozenset({"translation"})))
    assert "dogs" not in {m.name for m in evaluate(Oracle(ANSWERS), ROWS, catalogue).metrics}


def test_a_metric_in_conflict_stops_nothing() -> None:
    catalogue = catalogue_with(metric_plugin("dogs", "acme"), metric_plugin("dogs", "other"))
    names = {metric.name for metric in evaluate(Oracle(ANSWERS), ROWS, catalogue).metrics}
    assert "dogs" not in names
    assert "accuracy" in names
    with pytest.raises(PluginConflictError, match=r"acme 1\.0 and other 1\.0"):
        catalogue.offer("metric", "dogs")


def test_progress_is_passed_on() -> None:
    seen: list[int] = []
    evaluate(Oracle(ANSWERS), ROWS, catalogue_with(), seen.append)
    assert seen == [5]


def test_the_likeliest_label_alone_the_first_of_equals() -> None:
    decision = decide(np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]]), False, 0.9)
    assert decision.tolist() == [[False, True, False], [True, False, False]]


def test_every_label_from_the_threshold_on() -> None:
    decision = decide(np.array([[0.5, 0.49, 0.9], [0.1, 0.2, 0.3]]), True, 0.5)
    assert decision.tolist() == [[True, False, True], [False, False, False]]


@pytest.mark.parametrize("multi_label", [False, True])
def test_no_rows_no_decisions(multi_label: bool) -> None:
    assert decide(np.zeros((0, 3)), multi_label, 0.5).shape == (0, 3)
