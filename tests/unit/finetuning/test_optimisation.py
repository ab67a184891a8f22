"""Which weights decay, how the rate runs, and that the Trainer takes the same steps."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import Trainer, TrainingArguments, get_scheduler

from adapterhub_lite.finetuning.loop import fit
from adapterhub_lite.finetuning.optimisation import decays, rate_factors
from adapterhub_lite.finetuning.params import TrainerParams
from adapterhub_lite.protocols import TrainingData
from tests.unit.finetuning.conftest import RunOf, Sentences, assert_same, bert, rows


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("bert.encoder.layer.0.attention.self.query.weight", (16, 16), True),
        ("layer.0.attention.self.query.lora_A.default.weight", (2, 16), True),
        ("bert.embeddings.word_embeddings.weight", (40, 16), True),
        ("prompt_encoder.default.transform.0.weight", (16, 16), True),
        ("prompt_encoder.default.embedding.weight", (8, 16), False),
        ("classifier.bias", (2,), False),
        ("model.norm.weight", (16,), False),
        ("q_proj.lora_magnitude_vector.default.weight", (16,), False),
        ("k_proj.ia3_l.default", (16, 1), False),
    ],
)
def test_only_matrices_decay(name: str, shape: tuple[int, ...], expected: bool) -> None:
    assert decays(name, torch.zeros(shape)) is expected


def test_same_parameters_decay_as_under_the_trainer(tmp_path: Path) -> None:
    model = bert(lora=False).model
    trainer = Trainer(model=model, args=TrainingArguments(output_dir=str(tmp_path), report_to=[]))
    ours = {name for name, parameter in model.named_parameters() if decays(name, parameter)}
    assert ours == set(trainer.get_decay_parameter_names(model))


@pytest.mark.parametrize("schedule", ["linear", "cosine", "polynomial", "inverse-sqrt"])
def test_rates_are_those_of_transformers(schedule: Any) -> None:
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = get_scheduler(schedule.replace("-", "_"), optimiser, 3, 10)
    ours = rate_factors(TrainerParams(schedule=schedule, warmup=0.25), 10)
    for step in range(10):
        assert ours(step) == theirs.get_last_lr()[0]
        optimiser.step()
        theirs.step()


def test_constant_rate_warms_up_when_asked_to() -> None:
    factor = rate_factors(TrainerParams(schedule="constant", warmup=0.5), 8)
    assert [factor(step) for step in range(6)] == [0, 0.25, 0.5, 0.75, 1, 1]
    level = rate_factors(TrainerParams(schedule="constant"), 8)
    assert [level(step) for step in range(6)] == [1] * 6


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor", "sgd"])
@pytest.mark.parametrize("lora", [False, True])
def test_takes_the_trainers_steps(
    optimizer: Any, lora: bool, tmp_path: Path, run_of: RunOf
) -> None:
    learner, run = Sentences(), run_of()
    ours, theirs = bert(lora=lora, dropout=0.0), bert(lora=lora, dropout=0.0)
    in_order = TrainingData(rows(20, place=range(20)))
    params = TrainerParams(
        max_steps=4,
        batch_size=5,
        learning_rate=0.01,
        warmup=0.2,
        weight_decay=0.1,
        optimizer=optimizer,
        max_grad_norm=0.5,
        curriculum="place",
    )
    fit(ours, learner, in_order, params, run)
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        per_device_train_batch_size=5,
        max_steps=4,
        learning_rate=0.01,
        warmup_steps=1,
        weight_decay=0.1,
        optim={"adamw": "adamw_torch_fused"}.get(optimizer, optimizer),
        max_grad_norm=0.5,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        train_sampling_strategy="sequential",
    )
    trainer = Trainer(
        model=theirs.model,
        args=arguments,
        train_dataset=[
            {name: feature[name] for name in ("input_ids", "labels")}
            for feature in learner.features(rows(20))
        ],
        data_collator=lambda features: dict(learner.collate(features)),
    )
    trainer.train()
    logged = trainer.state.log_history[:4]
    assert [s["loss"] for s in run.steps] == pytest.approx([e["loss"] for e in logged], abs=1e-4)
    norms = [float(entry["grad_norm"]) for entry in logged]
    assert [step["grad_norm"] for step in run.steps] == pytest.approx(norms, rel=1e-4)
    assert_same(ours, theirs, tolerance=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 2_000_000},
        {"gradient_accumulation": 0},
        {"learning_rate": 100},
        {"learning_rate": float("nan")},
        {"warmup": 1},
        {"evaluate_every": "step"},
        {"evaluate_every": 0},
        {"optimizer": "adam"},
        {"report_to": ["comet"]},
        {"batch_siez": 8},
        {"curriculum": "length", "group_by_length": True},
        {"temperature": 2, "shares": {"a": 1}},
        {"shares": {"a": 0}},
    ],
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TrainerParams(**wrong)


def test_every_parameter_explains_itself() -> None:
    for name, field in TrainerParams.model_fields.items():
        assert field.description, name
        assert field.description.endswith(".") or "trackers" in name, name
