"""Rows are scored: metrics in order, a row a label, the confusion matrix, the surest mistakes."""

import json
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.data.table import TextSet
from adapterhub_lite.errors import (
    CapabilityError,
    DataError,
    PluginConflictError,
    UnknownNameError,
)
from adapterhub_lite.evaluation import Evaluation, evaluate
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.plugins import PluginSource, get_catalogue
from adapterhub_lite.scoring import ProbabilityScorer, decide
from adapterhub_lite.specs import MetricSpec, Requirement

Floats = NDArray[np.float64]


class Oracle(ProbabilityScorer):
    """A scorer that answers what it was told to."""

    def __init__(
        self, answers: Sequence[Sequence[float]], multi_label: bool = False, threshold: float = 0.5
    ) -> None:
        self.answers = answers
        self.several = multi_label
        self.least = threshold
        self.asked: list[str] = []

    @property
    def classes(self) -> tuple[str, ...]:
        return ("cat", "dog", "eel")

    @property
    def multi_label(self) -> bool:
        return self.several

    @property
    def threshold(self) -> float:
        return self.least

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
    where = f"{__name__}:share_of_dogs"
    values = {"tasks": frozenset({"text-classification"}), "implementation": where, **fields}

    @hookimpl
    def adapterhub_metrics() -> list[MetricSpec]:
        return [MetricSpec(name=name, summary="Dogs.", **values)]

    module = ModuleType(distribution)
    vars(module)["adapterhub_metrics"] = adapterhub_metrics
    return PluginSource("dogs", distribution, "1.0", lambda: module)


def catalogue_with(*sources: PluginSource) -> Catalogue:
    ours = [record.source for record in get_catalogue(first_party_only=True).records]
    return Catalogue([*ours, *sources])


def score(
    scorer: Oracle, rows: TextSet, catalogue: Catalogue | None = None, **options: Any
) -> Evaluation:
    catalogue = catalogue or catalogue_with()
    return evaluate(scorer, rows, catalogue, task="text-classification", **options)


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
    found = score(scorer, ROWS)
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
    found = score(Oracle(ANSWERS), ROWS)
    names = [metric.name for metric in found.metrics]
    assert names[0] == "accuracy"
    assert names[1:] == sorted(names[1:])
    assert set(names) >= {"accuracy", "log_loss", "macro_f1", "matthews", "micro_f1", "auc"}
    assert found.headline == found.metrics[0]
    assert found.notes == ()
    assert found.value("accuracy") == pytest.approx(2 / 5)
    for metric in found.metrics:
        low, high = metric.interval
        assert low <= high
        assert np.isfinite([metric.value, low, high]).all()
    assert found == score(Oracle(ANSWERS), ROWS), "it is repeatable"


def test_a_metric_that_is_asked_for_and_absent() -> None:
    found = score(Oracle(ANSWERS), ROWS)
    assert found.find("nonesuch") is None
    with pytest.raises(KeyError):
        found.value("nonesuch")


def test_only_the_twenty_surest_mistakes_are_kept() -> None:
    sure = np.linspace(0.55, 0.95, 30)
    scorer = Oracle([[p, 1 - p, 0.0] for p in sure])
    found = score(scorer, rows_of(*[("dog",)] * 30))
    assert [text for text, _, _ in found.mistakes] == [f"text {i}" for i in range(29, 9, -1)]


def test_rows_with_several_labels() -> None:
    scorer = Oracle(
        [[0.9, 0.8, 0.1], [0.6, 0.2, 0.1], [0.1, 0.2, 0.3]], multi_label=True, threshold=0.5
    )
    rows = rows_of(("cat", "dog"), ("dog", "cat"), (), multi_label=True)
    found = score(scorer, rows)
    assert found.confusion is None
    assert found.value("accuracy") == pytest.approx(2 / 3)
    assert found.find("matthews") is None
    assert found.find("calibration_error") is None
    assert found.mistakes == (("text 1", "cat, dog", "cat"),)
    assert [row.support for row in found.classes] == [2, 2, 0]


def test_the_threshold_decides_what_is_scored() -> None:
    rows = rows_of(("cat",), multi_label=True)
    for threshold, right in ((0.3, 1.0), (0.5, 0.0)):
        scorer = Oracle([[0.4, 0.1, 0.1]], multi_label=True, threshold=threshold)
        assert score(scorer, rows).value("accuracy") == right


def test_a_strangers_metric_appears() -> None:
    catalogue = catalogue_with(metric_plugin("dogs", "acme"))
    found = score(Oracle(ANSWERS), ROWS, catalogue)
    assert found.metrics[0].name == "accuracy"
    assert found.value("dogs") == pytest.approx(3 / 5)


def test_a_metric_for_one_label_a_row_is_left_out_of_others() -> None:
    catalogue = catalogue_with(metric_plugin("dogs", "acme", multi_label=False))
    many = Oracle([[0.9, 0.8, 0.1], [0.6, 0.2, 0.1]], multi_label=True)
    rows = rows_of(("cat",), ("dog",), multi_label=True)
    assert "dogs" not in {m.name for m in score(many, rows, catalogue).metrics}
    assert "dogs" in {m.name for m in score(Oracle(ANSWERS), ROWS, catalogue).metrics}


def test_a_metric_for_another_task_is_left_out() -> None:
    catalogue = catalogue_with(metric_plugin("dogs", "acme", tasks=frozenset({"translation"})))
    assert "dogs" not in {m.name for m in score(Oracle(ANSWERS), ROWS, catalogue).metrics}


def test_a_metric_in_conflict_stops_nothing() -> None:
    catalogue = catalogue_with(metric_plugin("dogs", "acme"), metric_plugin("dogs", "other"))
    names = {metric.name for metric in score(Oracle(ANSWERS), ROWS, catalogue).metrics}
    assert "dogs" not in names
    assert "accuracy" in names
    with pytest.raises(PluginConflictError, match=r"acme 1\.0 and other 1\.0"):
        catalogue.offer("metric", "dogs")


def failing_metric(truth: Any, decision: Any, scores: Any) -> float:
    """Fail as a stranger's code may."""
    raise ZeroDivisionError("no dogs\nat all")


def undefined_metric(truth: Any, decision: Any, scores: Any) -> float:
    """Be undefined."""
    return float("nan")


@pytest.mark.parametrize(
    ("implementation", "note"),
    [
        (f"{__name__}:failing_metric", "it failed: ZeroDivisionError: no dogs"),
        (f"{__name__}:undefined_metric", "not defined on these rows: dogs"),
        (f"{__name__}:nonesuch", "cannot be imported"),
    ],
)
def test_a_metric_that_cannot_be_had_is_named_and_stops_nothing(
    implementation: str, note: str
) -> None:
    broken = metric_plugin("dogs", "acme", implementation=implementation)
    found = score(Oracle(ANSWERS), ROWS, catalogue_with(broken))
    assert found.find("dogs") is None
    assert found.value("accuracy") == pytest.approx(2 / 5)
    (said,) = found.notes
    assert note in said
    assert "dogs" in said
    assert "\n" not in said


def test_a_library_that_is_missing_is_named_with_its_pip_line() -> None:
    needs = (Requirement(module="no_such_library", install="pip install no-such-library"),)
    found = score(Oracle(ANSWERS), ROWS, catalogue_with(metric_plugin("d", "a", requires=needs)))
    (said,) = found.notes
    assert said.startswith("d is left out: no_such_library")
    assert said.endswith("run: pip install no-such-library")


def test_only_some_metrics() -> None:
    names = [m.name for m in score(Oracle(ANSWERS), ROWS, only=["macro_f1", "accuracy"]).metrics]
    assert names == ["accuracy", "macro_f1"]
    with pytest.raises(UnknownNameError, match="acuracy") as unknown:
        score(Oracle(ANSWERS), ROWS, only=["acuracy"])
    assert "did you mean 'accuracy'" in unknown.value.hint
    with pytest.raises(CapabilityError, match="'bleu' is not one of text-classification"):
        score(Oracle(ANSWERS), ROWS, only=["bleu"])


def test_labels_that_the_model_does_not_know_are_refused_before_it_is_asked() -> None:
    scorer = Oracle(ANSWERS)
    with pytest.raises(DataError, match="does not know 1 of the data's labels: 'dgo'") as error:
        score(scorer, rows_of(("cat",), ("dgo",)))
    assert error.value.hint == "did you mean 'dog'?"
    assert scorer.asked == []


def test_no_rows_cannot_be_scored() -> None:
    with pytest.raises(DataError, match="no rows"):
        score(Oracle([]), rows_of())


def test_an_evaluation_as_json() -> None:
    values = json.loads(json.dumps(score(Oracle(ANSWERS), ROWS).to_json()))
    assert values["rows"] == 5
    assert values["metrics"][0]["name"] == "accuracy"
    assert values["confusion"][0] == [1, 1, 0]


def test_progress_is_passed_on() -> None:
    seen: list[int] = []
    score(Oracle(ANSWERS), ROWS, progress=seen.append)
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
