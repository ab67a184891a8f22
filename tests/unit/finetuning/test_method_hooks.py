"""Methods that follow the training: told how many steps there will be, and of each."""

import warnings
from typing import Any

import pytest
import torch

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.finetuning.loop import fit
from adapterhub_lite.finetuning.params import TrainerParams
from adapterhub_lite.protocols import Attached
from tests.unit.finetuning.conftest import (
    Points,
    RunOf,
    Sentences,
    attached,
    bert,
    network,
    training,
)


def test_method_is_told_of_the_start_and_of_every_step(run_of: RunOf) -> None:
    model, told = network(), []

    def on_step(step: int) -> None:
        gradients = [p.grad is not None for p in model.model.parameters()]
        told.append((step, all(gradients)))

    model.on_start = lambda steps: told.append(("start", steps))
    model.on_step = on_step
    fit(model, Points(), training(12), TrainerParams(epochs=1, batch_size=4), run_of())
    assert told == [("start", 3), (1, True), (2, True), (3, True)]


@pytest.mark.parametrize(
    "settings", [{"batch_size": 8}, {"batch_size": 2, "gradient_accumulation": 4}]
)
def test_a_penalty_is_added_once_a_step(settings: dict[str, int], run_of: RunOf) -> None:
    """It is the method's own, whatever the rows: not divided by them, nor by micro-batches."""
    plain, gradients = network(), {}
    for name, model in (("plain", plain), ("with", network())):
        weights = [value for value in model.model.parameters() if value.requires_grad]
        if name == "with":
            model.penalty = lambda own=weights: (
                0.5 * torch.stack([w.pow(2).sum() for w in own]).sum()
            )
        before = [value.detach().clone() for value in weights]

        def keep(_: int, own: Any = weights, name: str = name) -> None:
            gradients[name] = [value.grad.clone() for value in own]

        model.on_step = keep
        params = TrainerParams(max_steps=1, max_grad_norm=0, **settings)
        fit(model, Points(), training(8), params, run_of(name))
    for found, without, value in zip(gradients["with"], gradients["plain"], before, strict=True):
        assert torch.allclose(found - without, value, atol=1e-6)


def _adalora() -> Attached:
    from peft import AdaLoraConfig, get_peft_model

    settings = AdaLoraConfig(
        task_type="SEQ_CLS",
        init_r=6,
        target_r=2,
        tinit=2,
        tfinal=3,
        deltaT=1,
        total_step=12,
        target_modules=["query", "value"],
    )
    with warnings.catch_warnings():  # peft 0.21 asks by a name that transformers 5.23 retires
        warnings.simplefilter("ignore", FutureWarning)
        model: Any = get_peft_model(bert(lora=False).model, settings)
    made = attached(model)
    made.on_step = model.base_model.update_and_allocate
    return made


def test_adalora_reaches_its_budget_and_keeps_the_last_weights(run_of: RunOf) -> None:
    model = _adalora()
    params = TrainerParams(max_steps=12, evaluate_every=3, learning_rate=0.01)
    fitted = fit(model, Sentences(), training(24, 6), params, run_of())
    values = [p for name, p in model.model.named_parameters() if "lora_E" in name]
    assert sum(int((value != 0).sum()) for value in values) == 2 * len(values)
    assert fitted.best_step == 12
    assert "the last weights are kept, as this method plans its steps" in fitted.reason


@pytest.mark.parametrize("settings", [{"early_stopping": 2}, {"checkpoint_every": 5}])
def test_method_that_plans_to_the_end_is_not_cut_short(
    settings: dict[str, int], run_of: RunOf
) -> None:
    model = network()
    model.on_step = lambda step: None
    with pytest.raises(CapabilityError, match="cannot stop early or be resumed"):
        fit(model, Points(), training(8, 4), TrainerParams(**settings), run_of())
    with pytest.raises(CapabilityError, match="cannot stop early or be resumed"):
        fit(model, Points(), training(8, 4), TrainerParams(), run_of(resume=True))


def test_unknown_trainable_parameter_is_our_mistake(run_of: RunOf) -> None:
    model = Attached(torch.nn.Linear(4, 1), None, network().path, frozenset({"absent"}))
    with pytest.raises(AssertionError, match="absent"):
        fit(model, Points(), training(8), TrainerParams(), run_of())
