"""my-plugin: an objective that trains a classifier with the focal loss.

The shared training loop owns steps, schedules, checkpoints and stopping; an objective says what a
batch is, what its loss is, and how a trained model answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from adapterhub_lite.data.table import RowSet, TextSet
from adapterhub_lite.errors import IntegrityError
from adapterhub_lite.finetuning.params import TrainerParams
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.protocols import Attached, LoadedBase, Outcome, Run, TrainingData
from adapterhub_lite.scoring import ProbabilityScorer
from adapterhub_lite.specs import Head, ObjectiveSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

    from adapterhub_lite.scoring import Floats

    Batch = Mapping[str, torch.Tensor]

SETTINGS = "task.json"
ROWS_AT_ONCE = 32


class MyObjectiveParams(TrainerParams):
    """What a recipe may say of the objective, beside what every training takes."""

    gamma: float = Field(default=2.0, ge=0, description="How little a row counts that is easy")
    max_length: int = Field(default=256, ge=8, description="Longest input, in tokens")


@hookimpl
def adapterhub_objectives() -> Iterable[ObjectiveSpec]:
    """Offer the objective: it reads labelled texts, and needs a classification head."""
    yield ObjectiveSpec(
        name="my-objective",
        summary="Classification with the focal loss: rows that are hard count more.",
        implementation="my_plugin:MyObjective",
        paper="https://arxiv.org/abs/1708.02002",
        task="text-classification",
        params=MyObjectiveParams,
        rows="labelled-text",
        families=frozenset({"encoder"}),
        head="sequence-classification",
    )


@dataclass(frozen=True)
class FocalScorer(ProbabilityScorer):
    """A trained model that answers; scoring and predicting follow from its probabilities."""

    model: nn.Module
    tokenizer: Any
    classes: tuple[str, ...]
    max_length: int
    multi_label: bool = False
    threshold: float = 0.5

    def predict_proba(
        self, texts: Sequence[Any], progress: Callable[[int], None] | None = None
    ) -> Floats:
        """Return probabilities (texts, classes)."""
        import numpy as np
        import torch

        found = [np.empty((0, len(self.classes)))]
        was_training = self.model.training
        self.model.eval()
        with torch.inference_mode():
            for start in range(0, len(texts), ROWS_AT_ONCE):
                batch = self.encode(texts[start : start + ROWS_AT_ONCE])
                found.append(self.model(**batch).logits.double().softmax(-1).cpu().numpy())
                if progress is not None:
                    progress(len(found[-1]))
        self.model.train(was_training)
        return np.concatenate(found)

    def encode(self, texts: Sequence[str]) -> Batch:
        """Tokenise and pad texts, on the model's device."""
        batch = self.tokenizer(
            list(texts),
            truncation=True,
            max_length=self.max_length,
            padding=True,
            return_tensors="pt",
        )
        place = next(self.model.parameters()).device
        return {name: values.to(place) for name, values in batch.items()}


@dataclass(frozen=True)
class FocalLearner:
    """What the training loop asks of a task."""

    scorer: FocalScorer
    gamma: float
    separable: bool = True

    def features(self, rows: RowSet) -> list[Mapping[str, Any]]:
        """Return a feature a row; the loop batches them, by ``length`` where it is asked to."""
        assert isinstance(rows, TextSet), "the core reads labelled texts for this objective"
        number = {label: place for place, label in enumerate(self.scorer.classes)}
        return [
            {"text": text, "label": number[label], "length": len(text), "row": row}
            for row, (text, (label,)) in enumerate(zip(rows.texts, rows.labels, strict=True))
        ]

    def collate(self, features: Sequence[Mapping[str, Any]]) -> Batch:
        """Tokenise and pad a batch."""
        import torch

        batch = self.scorer.encode([feature["text"] for feature in features])
        return {**batch, "labels": torch.tensor([feature["label"] for feature in features])}

    def units(self, batch: Batch) -> torch.Tensor:
        """Return the number of rows, over which the loss is averaged."""
        import torch

        return torch.tensor(float(len(batch["labels"])))

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return Σ (1 − p)^γ (−log p), with p the probability of a row's label."""
        inputs = {name: values for name, values in batch.items() if name != "labels"}
        logs = model(**inputs).logits.float().log_softmax(-1)
        right = logs.gather(1, batch["labels"].to(logs.device).unsqueeze(1))
        focal: torch.Tensor = -((1 - right.exp()) ** self.gamma * right)
        return focal.sum()

    def validate(self, model: nn.Module, rows: RowSet) -> Mapping[str, float]:
        """Return the accuracy, by which the best step is chosen."""
        scored = replace(self.scorer, model=model).score(rows)
        return {"accuracy": float((scored.truth == scored.decision).all(1).mean())}


class MyObjective:
    """Trains a classification head, and whatever the method lets learn."""

    def check(self, rows: TextSet, params: MyObjectiveParams) -> Sequence[str]:
        """Refuse what no classifier can be trained on."""
        problems = []
        if len(rows.classes) < 2:
            problems.append("a classifier needs at least two labels")
        if not all(rows.labels):
            problems.append("a row has no label")
        return problems

    def head(self, rows: TextSet, params: MyObjectiveParams) -> Head:
        """Return a head with the labels, sorted."""
        return Head(kind="sequence-classification", labels=rows.classes, problem="single-label")

    def fit(
        self, attached: Attached, data: TrainingData, params: MyObjectiveParams, run: Run
    ) -> Outcome:
        """Train on the shared loop."""
        from adapterhub_lite.finetuning.loop import fit

        scorer = FocalScorer(
            attached.model, attached.tokenizer, attached.head.labels, params.max_length
        )
        fitted = fit(attached, FocalLearner(scorer, params.gamma), data, params, run)
        return Outcome(
            scorer=scorer,
            baseline=None,
            kept="fine-tuned",
            reason=fitted.reason,
            selection=fitted.validation.get("accuracy"),
            hyperparameters={"steps": fitted.steps, "learning_rate": fitted.learning_rate},
        )

    def save(self, outcome: Outcome, folder: Path) -> None:
        """Write what scoring needs beyond the model."""
        assert isinstance(outcome.scorer, FocalScorer), "an objective saves what it fitted"
        text = json.dumps({"max_length": outcome.scorer.max_length}) + "\n"
        (folder / SETTINGS).write_text(text, encoding="utf-8")

    def load(self, base: LoadedBase, folder: Path) -> FocalScorer:
        """Rebuild the scorer; raises IntegrityError when its file does not parse."""
        try:
            settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
            max_length = int(settings["max_length"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"{SETTINGS} in {folder} does not parse: {error}") from error
        return FocalScorer(base.model, base.tokenizer, base.head.labels, max_length)

    def adopt(self, base: LoadedBase, params: MyObjectiveParams) -> FocalScorer:
        """Return the scorer of a model that was trained elsewhere; asked only where ``adopts``."""
        return FocalScorer(base.model, base.tokenizer, base.head.labels, params.max_length)
