"""Which weights are kept, and the sentence that says why."""

from typing import Any

import pytest
import torch

from adapterhub_lite.finetuning.loop import Fitted, fit
from adapterhub_lite.finetuning.params import TrainerParams
from adapterhub_lite.protocols import Attached
from tests.unit.finetuning.conftest import Points, RunOf, network, training, weights

NAN = float("nan")


def _fit(
    run_of: RunOf, scores: list[float], **params: Any
) -> tuple[Fitted, Attached, list[dict[str, torch.Tensor]]]:
    """Train with an evaluation a step; return also the weights that each evaluation saw."""
    seen: list[dict[str, torch.Tensor]] = []
    model = network()

    class Watched(Points):
        def validate(self, module, rows):  # type: ignore[no-untyped-def]
            seen.append(weights(model))
            return super().validate(module, rows)

    settings = TrainerParams(evaluate_every=1, **params)
    fitted = fit(model, Watched(scores=scores), training(8, 4), settings, run_of())
    return fitted, model, seen


def _equal(model: Attached, expected: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(expected[name], now) for name, now in weights(model).items())


def test_restores_the_best_and_says_why(run_of: RunOf) -> None:
    scores = [0.5, 0.81, 0.8, 0.81, 0.7, 0.9]
    fitted, model, seen = _fit(run_of, scores, max_steps=50, early_stopping=3)
    assert fitted.reason == (
        "stopped at step 5: no gain over 0.81 (score, step 2) for 3 evaluations; "
        "step 2 restored (score 0.81)"
    )
    assert (fitted.steps, fitted.best_step) == (5, 2)
    assert fitted.validation == {"score": 0.81, "other": -0.81}
    assert len(seen) == 5
    assert _equal(model, seen[1])


def test_without_patience_trains_on_and_restores_the_best(run_of: RunOf) -> None:
    fitted, model, seen = _fit(run_of, [0.5, 0.9, 0.1, 0.2], max_steps=4)
    assert fitted.reason == "trained all 4 steps; step 2 restored (score 0.9)"
    assert _equal(model, seen[1])


def test_keeps_the_last_step_when_it_is_best(run_of: RunOf) -> None:
    fitted, model, seen = _fit(run_of, [0.5, 0.6, 0.7], max_steps=3)
    assert fitted.reason == "trained all 3 steps; the last step scored best (score 0.7)"
    assert _equal(model, seen[2])


def test_keeps_the_last_weights_when_told_so(run_of: RunOf) -> None:
    fitted, model, seen = _fit(run_of, [0.9, 0.6, 0.7], max_steps=3, keep_best=False)
    assert fitted.reason == "trained all 3 steps; the last weights are kept, as keep_best is off"
    assert (fitted.best_step, fitted.validation["score"]) == (3, 0.7)
    assert _equal(model, seen[2])


def test_without_validation_rows_keeps_the_last_weights(run_of: RunOf) -> None:
    fitted = fit(network(), Points(), training(8), TrainerParams(max_steps=3), run_of())
    assert fitted.reason == (
        "trained all 3 steps; the last weights are kept, as there are no validation rows"
    )
    assert fitted.best_step is None
    assert fitted.validation == {}


def test_small_gains_do_not_count_but_the_best_is_kept(run_of: RunOf) -> None:
    scores = [0.5, 0.55, 0.58, 0.59]
    fitted, model, seen = _fit(run_of, scores, max_steps=4, early_stopping=3, min_delta=0.1)
    assert fitted.reason == (
        "stopped at step 4: no gain of 0.1 over 0.5 (score, step 1) for 3 evaluations; "
        "the last step scored best (score 0.59)"
    )
    assert _equal(model, seen[3])


def test_small_gains_add_up(run_of: RunOf) -> None:
    scores = [0.5, 0.56, 0.62, 0.68, 0.74]
    fitted, _, _ = _fit(run_of, scores, max_steps=5, early_stopping=2, min_delta=0.1)
    assert fitted.steps == 5


@pytest.mark.parametrize(
    ("scores", "best"), [([NAN, 0.1, NAN], 2), ([0.1, NAN, NAN], 1), ([NAN, NAN, NAN], 1)]
)
def test_a_score_that_is_no_number_is_worst(scores: list[float], best: int, run_of: RunOf) -> None:
    fitted, model, seen = _fit(run_of, scores, max_steps=3)
    assert fitted.best_step == best
    assert _equal(model, seen[best - 1])
