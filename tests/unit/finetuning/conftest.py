"""Two small models with tasks of their own: a bare torch module, and a BERT classifier."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from adapterhub_lite.data.table import RowSet, TextSet
from adapterhub_lite.finetuning.learner import Feature
from adapterhub_lite.protocols import Attached, TrainingData

WIDTH = 4
VOCABULARY = 40


class InterruptedByTestError(Exception):
    """What stands for a power cut."""


@dataclass
class FakeRun:
    """Keeps what it is told; dies when step ``dies_at`` is reported."""

    folder: Path
    seed: int = 0
    resume: bool = False
    dies_at: int = -1
    steps: list[dict[str, float]] = field(default_factory=list)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def emit(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))

    def step(self, stage: str, done: int, total: int, **figures: float) -> None:
        if done == self.dies_at:
            raise InterruptedByTestError
        self.steps.append({"done": done, "total": total, **figures})

    def evaluations(self) -> list[dict[str, Any]]:
        return [fields for event, fields in self.events if event == "evaluated"]


RunOf = Callable[..., FakeRun]


@pytest.fixture
def run_of(tmp_path: Path) -> RunOf:
    """Return a function that makes runs in one folder or, by name, in others."""

    def make(name: str = "run", **fields: Any) -> FakeRun:
        return FakeRun(tmp_path / name, **fields)

    return make


def rows(count: int, **extras: Sequence[Any]) -> TextSet:
    """Return rows that are known by their numbers."""
    texts = tuple(str(i) for i in range(count))
    return TextSet(texts, tuple(("a",) for _ in texts), extras=extras)


def training(count: int, validation: int = 0, **fields: Any) -> TrainingData:
    """Return numbered training rows and perhaps validation rows."""
    return TrainingData(rows(count), rows(validation) if validation else None, **fields)


@dataclass
class Points:
    """Regression: a row is a point with between one and three targets, each a unit.

    ``scores`` are what evaluations return, one after the other; without any it is minus the loss.
    """

    separable: bool = True
    scores: Sequence[float] = ()
    seen: list[int] = field(default_factory=list)
    lengths: Callable[[int], int] = lambda row: 1 + row % 3

    def features(self, rows: RowSet) -> list[Feature]:
        made = []
        for row, text in enumerate(rows.keys):
            rng = np.random.default_rng(int(text))
            count = self.lengths(row)
            point = rng.normal(size=WIDTH)
            targets = (point[0] + rng.normal(scale=0.1, size=count)).tolist()
            made.append({"row": row, "length": count, "point": point.tolist(), "targets": targets})
        return made

    def collate(self, features: Sequence[Feature]) -> Mapping[str, torch.Tensor]:
        self.seen.extend(feature["row"] for feature in features)
        longest = max(feature["length"] for feature in features)
        padded = [f["targets"] + [float("nan")] * (longest - f["length"]) for f in features]
        points = torch.tensor([feature["point"] for feature in features], dtype=torch.float64)
        return {"points": points, "targets": torch.tensor(padded, dtype=torch.float64)}

    def units(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return (~batch["targets"].isnan()).sum()

    def loss(self, model: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        weight = next(model.parameters())
        answers = model(batch["points"].to(weight.dtype)).expand(batch["targets"].shape)
        there = ~batch["targets"].isnan()
        targets = batch["targets"].nan_to_num().to(weight.dtype)
        return ((answers - targets) * there).square().sum()

    def validate(self, model: nn.Module, rows: RowSet) -> Mapping[str, float]:
        assert not model.training
        torch.rand(3)  # a learner may draw, to sample text for example
        if self.scores:
            score, *self.scores = self.scores
            return {"score": score, "other": -score}
        batch = Points(lengths=self.lengths)
        with torch.no_grad():
            loss = self.loss(model, batch.collate(batch.features(rows)))
        return {"score": -loss.item()}


def network(dropout: float = 0.0, dtype: torch.dtype = torch.float64, seed: int = 0) -> Attached:
    """Return a two-layer network whose parameters all learn."""
    torch.manual_seed(seed)
    layers = nn.Sequential(
        nn.Linear(WIDTH, 8), nn.LayerNorm(8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 1)
    )
    return attached(layers.to(dtype))


def attached(model: nn.Module) -> Attached:
    """Return a model with what requires a gradient as trainable."""
    names = frozenset(name for name, p in model.named_parameters() if p.requires_grad)
    return Attached(model, None, Path(), names, learning_rate=0.05)


def weights(model: Attached) -> dict[str, torch.Tensor]:
    """Return copies of all parameters."""
    return {name: p.detach().clone() for name, p in model.model.named_parameters()}


def assert_same(one: Attached, other: Attached, *, tolerance: float = 0.0) -> None:
    """Compare all parameters: bit by bit, unless there is a tolerance."""
    for (name, a), b in zip(weights(one).items(), weights(other).values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")


def bert(*, lora: bool, dropout: float = 0.1, model_type: str = "bert") -> Attached:
    """Return a tiny sequence classifier of two labels, all of it or a LoRA trainable."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForSequenceClassification

    torch.manual_seed(0)
    config = AutoConfig.for_model(
        model_type,
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        pad_token_id=0,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    model = AutoModelForSequenceClassification.from_config(config)
    if lora:
        settings = LoraConfig(
            task_type="SEQ_CLS", r=2, lora_dropout=dropout, target_modules=["query", "value"]
        )
        with warnings.catch_warnings():  # peft 0.21 asks by a name that transformers 5.23 retires
            warnings.simplefilter("ignore", FutureWarning)
            model = get_peft_model(model, settings)
    return attached(model.eval())


class Sentences:
    """Classification of made-up token sequences; a row is a unit."""

    separable = True

    def features(self, rows: RowSet) -> list[Feature]:
        made = []
        for row, text in enumerate(rows.keys):
            rng = np.random.default_rng(int(text))
            tokens = rng.integers(1, VOCABULARY, size=int(rng.integers(3, 10))).tolist()
            label = int(tokens[0] % 2)
            made.append({"row": row, "length": len(tokens), "input_ids": tokens, "labels": label})
        return made

    def collate(self, features: Sequence[Feature]) -> Mapping[str, torch.Tensor]:
        longest = max(len(feature["input_ids"]) for feature in features)
        ids = [f["input_ids"] + [0] * (longest - len(f["input_ids"])) for f in features]
        tokens = torch.tensor(ids)
        labels = torch.tensor([feature["labels"] for feature in features])
        return {"input_ids": tokens, "attention_mask": (tokens > 0).long(), "labels": labels}

    def units(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return torch.tensor(len(batch["labels"]))

    def loss(self, model: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        logits = model(**inputs).logits.float()
        return nn.functional.cross_entropy(logits, batch["labels"], reduction="sum")

    def validate(self, model: nn.Module, rows: RowSet) -> Mapping[str, float]:
        batch = self.collate(self.features(rows))
        with torch.no_grad():
            return {"minus_loss": -self.loss(model, batch).item() / len(rows)}
