"""What the plugin offers: every task has metrics, every metric can be had and resampled."""

from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.evaluation import PreparedMetric
from adapterhub_lite.evaluation.measures import measure_of
from adapterhub_lite.evaluation.metrics import HEADLINES, signature_of
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.scoring import Scored
from adapterhub_lite.specs import MetricSpec, Task

CATALOGUE = get_catalogue(first_party_only=True)
METRICS = CATALOGUE.metrics
WORDS = ("the", "a", "cat", "sat", "on", "mat", "dog")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "NOUN")


def objects(items: list[Any]) -> NDArray[Any]:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def draw(task: Task, rows: int = 30) -> Scored:
    """Draw answers as a scorer of the task gives them."""
    rng = np.random.default_rng(3)
    numbers = rng.normal(size=(2, rows))

    def texts() -> list[str]:
        return [" ".join(rng.choice(WORDS, 6)) for _ in range(rows)]

    def tagged() -> list[tuple[str, ...]]:
        return [tuple(rng.choice(TAGS, 5).tolist()) for _ in range(rows)]

    match task:
        case "text-classification":
            truth, decision = (np.eye(4, dtype=bool)[rng.integers(0, 4, rows)] for _ in range(2))
            return Scored(truth, decision, rng.dirichlet(np.ones(4), rows))
        case "token-classification":
            return Scored(objects(tagged()), objects(tagged()), objects([None] * rows))
        case "text-regression" | "sentence-similarity":
            truth = numbers[0].round()
            truth[0] = 1.0
            return Scored(truth, numbers[1], numbers[1][:, None])
        case "question-answering":
            answers = [(a, b) for a, b in zip(texts(), texts(), strict=True)]
            return Scored(objects(answers), objects(texts()), numbers[1][:, None])
        case _:
            likelihoods = np.column_stack([rng.random(rows) * 9, rng.integers(1, 9, rows)])
            return Scored(objects(texts()), objects(texts()), likelihoods)


def cases() -> list[Any]:
    return [
        pytest.param(spec, task, id=f"{spec.name}-{task}")
        for spec in METRICS.values()
        for task in sorted(spec.tasks)
    ]


@pytest.mark.parametrize(("spec", "task"), cases())
def test_a_resample_of_a_prepared_metric_is_the_metric_of_those_rows(
    spec: MetricSpec, task: Task
) -> None:
    metric = CATALOGUE.implementation(spec)
    scored = draw(task)
    assert isinstance(metric, PreparedMetric)
    measure = measure_of(metric, scored)
    assert np.isfinite(measure(np.ones(len(scored), dtype=int)))
    rng = np.random.default_rng(0)
    for _ in range(5):
        chosen = rng.integers(0, len(scored), len(scored))
        counts = np.bincount(chosen, minlength=len(scored))
        expected = metric(scored.truth[chosen], scored.decision[chosen], scored.scores[chosen])
        assert measure(counts) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("task", get_args(Task))
def test_every_task_has_its_headline(task: Task) -> None:
    assert task in METRICS[HEADLINES[task]].tasks


def test_which_metrics_are_better_when_lower_and_which_want_one_label() -> None:
    lower = {name for name, spec in METRICS.items() if not spec.greater_is_better}
    assert lower == {"log_loss", "calibration_error", "mse", "rmse", "mae", "perplexity"}
    single = {name for name, spec in METRICS.items() if not spec.multi_label}
    assert single == {"matthews", "calibration_error"}


@pytest.mark.parametrize("name", ["bleu", "chrf", "rouge1", "rouge2", "rougeL"])
def test_metrics_of_a_library_say_how_they_were_computed(name: str) -> None:
    signature = signature_of(METRICS[name], CATALOGUE)
    assert "version:" in signature or "rouge-score:" in signature
    assert METRICS[name].requires


def test_others_need_no_signature() -> None:
    catalogue: Catalogue = CATALOGUE
    assert signature_of(METRICS["accuracy"], catalogue) == ""
