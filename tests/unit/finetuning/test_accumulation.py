"""A step over micro-batches is the step over the big batch."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from adapterhub_lite.finetuning.loop import fit
from adapterhub_lite.finetuning.params import TrainerParams
from adapterhub_lite.protocols import Attached
from tests.unit.finetuning.conftest import (
    FakeRun,
    Points,
    RunOf,
    Sentences,
    assert_same,
    bert,
    network,
    rows,
    training,
    weights,
)

BIG = 16


def _trained(run: FakeRun, micro: int, lengths: list[int]) -> Attached:
    model = network()
    params = TrainerParams(
        epochs=1, batch_size=micro, gradient_accumulation=BIG // micro, optimizer="sgd"
    )
    points = Points(lengths=lambda row: lengths[row % len(lengths)])
    fit(model, points, training(40), params, run)
    return model


@settings(max_examples=10)
@given(st.sampled_from([1, 2, 4, 8]), st.lists(st.integers(1, 9), min_size=1, max_size=40))
def test_any_split_of_any_units_gives_the_same_weights(micro: int, lengths: list[int]) -> None:
    nowhere = Path("does-not-exist")
    split = FakeRun(nowhere)
    whole = FakeRun(nowhere)
    assert_same(_trained(split, micro, lengths), _trained(whole, BIG, lengths), tolerance=1e-12)
    for one, other in zip(split.steps, whole.steps, strict=True):
        assert one == pytest.approx(other)


@pytest.mark.parametrize("lora", [False, True])
def test_equals_the_big_batch_on_a_transformer(lora: bool, run_of: RunOf) -> None:
    models = []
    for size, accumulation in ((8, 1), (2, 4)):
        model = bert(lora=lora, dropout=0.0)
        params = TrainerParams(
            epochs=1, batch_size=size, gradient_accumulation=accumulation, optimizer="sgd"
        )
        fit(model, Sentences(), training(24), params, run_of())
        models.append(model)
    assert_same(models[0], models[1], tolerance=1e-6)


def test_step_without_units_changes_nothing(run_of: RunOf) -> None:
    class Uncounted(Points):
        def units(self, batch: Any) -> torch.Tensor:
            return torch.tensor(0)

        def loss(self, model: nn.Module, batch: Any) -> torch.Tensor:
            return 0 * super().loss(model, batch)

    model = network()
    before = weights(model)
    params = TrainerParams(max_steps=2, optimizer="sgd")
    fitted = fit(model, Uncounted(), training(4), params, run_of())
    assert all(torch.equal(before[name], now) for name, now in weights(model).items())
    assert fitted.train_loss == 0


class _Classifier(nn.Module):
    """What the Trainer takes for a language model: its forward has ``**kwargs``."""

    def __init__(self, attached: Attached) -> None:
        super().__init__()
        self.inner = attached.model

    def forward(self, **inputs: Any) -> dict[str, torch.Tensor]:
        labels = inputs.pop("labels")
        inputs.pop("num_items_in_batch", None)
        logits = self.inner(**inputs).logits
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def _trainer_grad_norm(folder: Path, size: int, accumulation: int, **mend: Any) -> float:
    """Return the gradient's norm of one step of the Trainer over 16 rows."""
    from transformers import Trainer, TrainingArguments

    learner = Sentences()
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=size,
        gradient_accumulation_steps=accumulation,
        max_steps=1,
        max_grad_norm=1e9,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        remove_unused_columns=False,
        train_sampling_strategy="sequential",
    )
    trainer = Trainer(
        model=_Classifier(bert(lora=False, dropout=0.0)),
        args=arguments,
        train_dataset=learner.features(rows(BIG)),
        data_collator=lambda features: dict(learner.collate(features)),
    )
    for name, value in mend.items():
        setattr(trainer, name, value)
    trainer.train()
    return float(trainer.state.log_history[0]["grad_norm"])


def _our_grad_norm(run: FakeRun, size: int, accumulation: int) -> float:
    params = TrainerParams(
        max_steps=1, batch_size=size, gradient_accumulation=accumulation, max_grad_norm=0
    )
    fit(bert(lora=False, dropout=0.0), Sentences(), training(BIG), params, run)
    return run.steps[0]["grad_norm"]


@pytest.mark.filterwarnings("ignore:.*pin_memory.*")
def test_trainer_multiplies_the_gradient_and_we_do_not(tmp_path: Path, run_of: RunOf) -> None:
    big = _trainer_grad_norm(tmp_path, 16, 1)
    assert _trainer_grad_norm(tmp_path, 4, 4) == pytest.approx(4 * big, rel=1e-4)
    mended = _trainer_grad_norm(tmp_path, 4, 4, model_accepts_loss_kwargs=False)
    assert mended == pytest.approx(big, rel=1e-4)
    assert _our_grad_norm(run_of(), 16, 1) == pytest.approx(big, rel=1e-4)
    assert _our_grad_norm(run_of(), 4, 4) == pytest.approx(big, rel=1e-4)
