"""A training as a whole: what it changes, what it reports, what it refuses."""

import copy
import math
import sys

import numpy as np
import pytest
import torch

from adapterhub_lite.errors import (
    CapabilityError,
    DataError,
    MissingDependencyError,
    NonFiniteError,
    RecipeError,
    TrainingError,
)
from adapterhub_lite.finetuning.loop import fit
from adapterhub_lite.finetuning.params import TrainerParams
from tests.unit.finetuning.conftest import (
    Points,
    RunOf,
    Sentences,
    assert_same,
    bert,
    network,
    training,
    weights,
)


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor", "sgd", "adamw-8bit"])
def test_learns_with_every_optimiser(optimizer: str, run_of: RunOf) -> None:
    model, run = network(), run_of()
    params = TrainerParams(optimizer=optimizer, epochs=20, batch_size=8)
    fit(model, Points(), training(24), params, run)
    losses = [step["loss"] for step in run.steps]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_same_seed_same_weights_and_another_seed_others(run_of: RunOf) -> None:
    models = [bert(lora=True) for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        torch.rand(seed)  # the global generators' state before is of no matter
        fit(model, Sentences(), training(20), TrainerParams(epochs=1), run_of(seed=seed))
    assert_same(models[0], models[1])
    with pytest.raises(AssertionError):
        assert_same(models[0], models[2])


def test_only_named_parameters_change(run_of: RunOf) -> None:
    model = bert(lora=True)
    before = weights(model)
    fit(model, Sentences(), training(20), TrainerParams(epochs=2), run_of())
    after = weights(model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == model.trainable


def test_leaves_no_trace_but_the_weights(run_of: RunOf) -> None:
    model = bert(lora=False, model_type="bert")
    model.model.config.use_cache = True
    state, words = torch.get_rng_state(), np.random.get_state()[1].tolist()
    fit(model, Sentences(), training(8, 4), TrainerParams(epochs=1), run_of())
    assert not any(module.training for module in model.model.modules())
    assert all(parameter.grad is None for parameter in model.model.parameters())
    assert model.model.config.use_cache
    assert torch.equal(torch.get_rng_state(), state)
    assert np.random.get_state()[1].tolist() == words


def test_evaluations_do_not_disturb_training(run_of: RunOf) -> None:
    plain, watched = network(dropout=0.3), network(dropout=0.3)
    params = TrainerParams(epochs=3, evaluate_every=1, keep_best=False)
    fit(plain, Points(), training(20), params, run_of())
    fit(watched, Points(), training(20, 5), params, run_of())
    assert_same(plain, watched)


def test_reports_steps_and_what_came_of_them(run_of: RunOf) -> None:
    run = run_of()
    params = TrainerParams(epochs=2.5, batch_size=4, learning_rate=0.01, warmup=0.2)
    fitted = fit(network(), Points(), training(18, 3), params, run)
    assert fitted.steps == 13  # five steps an epoch, and half of them, rounded up
    assert fitted.epochs == pytest.approx(2.6)
    assert [step["done"] for step in run.steps] == list(range(1, 14))
    assert {step["total"] for step in run.steps} == {13}
    rates = [step["learning_rate"] for step in run.steps]
    assert rates[0] == 0
    assert max(rates) == rates[3] == pytest.approx(0.01)  # a fifth of 13 steps is 3
    assert [evaluation["step"] for evaluation in run.evaluations()] == [5, 10, 13]
    assert fitted.learning_rate == 0.01
    assert fitted.tokens_per_second > 0


def test_points_of_the_curve_are_means_over_units(run_of: RunOf) -> None:
    every, some = run_of("every"), run_of("some")
    for run, log_every in ((every, 1), (some, 4)):
        params = TrainerParams(epochs=1, batch_size=3, log_every=log_every, learning_rate=1e-9)
        fitted = fit(network(), Points(lengths=lambda row: 2), training(24), params, run)
    losses = [step["loss"] for step in every.steps]
    expected = [np.mean(losses[:4]), np.mean(losses[4:])]
    assert [step["loss"] for step in some.steps] == pytest.approx(expected)
    assert fitted.train_loss == pytest.approx(np.mean(losses))


def test_max_steps_go_before_epochs(run_of: RunOf) -> None:
    params = TrainerParams(epochs=1, max_steps=9, batch_size=4)
    fitted = fit(network(), Points(), training(8), params, run_of())
    assert (fitted.steps, fitted.epochs) == (9, 4.5)


@pytest.mark.parametrize("poisoned", ["loss", "gradient"])
def test_stops_at_the_step_that_is_not_finite(poisoned: str, run_of: RunOf) -> None:
    class Poisoned(Points):
        steps = 0

        def loss(self, model, batch):  # type: ignore[no-untyped-def]
            self.steps += 1
            loss = super().loss(model, batch)
            if self.steps == 3:
                bad = math.nan if poisoned == "loss" else math.inf
                loss = loss * bad if poisoned == "loss" else _exploding(loss)
            return loss

    def _exploding(loss: torch.Tensor) -> torch.Tensor:
        loss.register_hook(lambda gradient: gradient * math.inf)
        return loss

    run = run_of()
    model = network()
    with pytest.raises(NonFiniteError, match=f"the {poisoned}.* at step 3") as caught:
        fit(model, Poisoned(), training(40), TrainerParams(batch_size=4), run)
    assert caught.value.step == 3
    assert len(run.steps) == 2
    assert not model.model.training


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_says_what_to_lower_when_memory_runs_out(error: Exception, run_of: RunOf) -> None:
    class Greedy(Points):
        def loss(self, model, batch):  # type: ignore[no-untyped-def]
            raise error

    with pytest.raises(TrainingError, match="out of memory") as caught:
        fit(network(), Greedy(), training(8), TrainerParams(batch_size=8), run_of())
    for way in ("batch_size: 4 with gradient_accumulation: 2", "max_length", "nf4"):
        assert way in caught.value.hint


def test_other_failures_pass_through(run_of: RunOf) -> None:
    class Faulty(Points):
        def loss(self, model, batch):  # type: ignore[no-untyped-def]
            raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        fit(network(), Faulty(), training(8), TrainerParams(), run_of())


def test_refuses_what_would_be_silently_wrong(run_of: RunOf) -> None:
    run, data = run_of(), training(8)
    frozen = copy.copy(network())
    frozen.trainable = frozenset()
    with pytest.raises(CapabilityError, match="no parameter learns"):
        fit(frozen, Points(), data, TrainerParams(), run)
    accumulating = TrainerParams(gradient_accumulation=2)
    with pytest.raises(CapabilityError, match="rows of a batch are compared"):
        fit(network(), Points(separable=False), data, accumulating, run)
    with pytest.raises(RecipeError, match="early stopping needs validation rows"):
        fit(network(), Points(), data, TrainerParams(early_stopping=1), run)
    with pytest.raises(CapabilityError, match="fp16 cannot train on a CPU"):
        fit(network(), Points(), data, TrainerParams(precision="fp16"), run)
    with pytest.raises(CapabilityError, match="cannot compute activations anew"):
        fit(network(), Points(), data, TrainerParams(gradient_checkpointing=True), run)
    with pytest.raises(DataError, match="nothing to train on"):
        fit(network(), Points(), training(0), TrainerParams(), run)


def test_says_how_to_install_bitsandbytes(run_of: RunOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(MissingDependencyError) as caught:
        fit(network(), Points(), training(8), TrainerParams(optimizer="adamw-8bit"), run_of())
    assert caught.value.install == "pip install 'adapterhub-lite[quant]'"
