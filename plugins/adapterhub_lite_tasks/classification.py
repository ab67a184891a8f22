"""Text classification: single-label, multi-label, pairs of texts."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import f1_score
from torch import nn

from adapterhub_lite.data.table import RowSet, TextSet
from adapterhub_lite.errors import RecipeError
from adapterhub_lite.finetuning.learner import Feature
from adapterhub_lite.finetuning.loop import fit
from adapterhub_lite.predictions import Prediction
from adapterhub_lite.protocols import Attached, LoadedBase, Outcome, Run, TrainingData
from adapterhub_lite.scoring import ProbabilityScorer
from adapterhub_lite.specs import Head
from adapterhub_lite_tasks.batching import answer
from adapterhub_lite_tasks.common import (
    outcome_of,
    refuse_if_padding_shows,
    refuse_unknown_labels,
    require_labels,
)
from adapterhub_lite_tasks.inputs import (
    Base,
    TextEncoder,
    call,
    pad_inputs,
    require_form,
    text_encoder,
)
from adapterhub_lite_tasks.losses import (
    MultiLabelLoss,
    SingleLabelLoss,
    balanced_weights,
    positive_weights,
)
from adapterhub_lite_tasks.mixing import Found, OnePass
from adapterhub_lite_tasks.params import ClassificationParams
from adapterhub_lite_tasks.settings import ClassifierSettings, read_settings, write_settings

Batch = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Classifier(ProbabilityScorer, OnePass):
    """A model with a classification head."""

    model: nn.Module
    encoder: TextEncoder
    settings: ClassifierSettings

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, in the order of the outputs."""
        return self.settings.labels

    @property
    def multi_label(self) -> bool:
        """Whether each label has a probability of its own."""
        return self.settings.multi_label

    @property
    def threshold(self) -> float:
        """The probability from which a label counts."""
        return self.settings.threshold

    def predict_proba(
        self, texts: Sequence[Any], progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float64]:
        """Return probabilities (texts, classes)."""
        found = answer(self.model, self.features(texts), self.collate, self.read, progress)
        return self._table(found)

    def features(self, inputs: Sequence[Any]) -> list[Feature]:
        """Tokenise texts, or pairs of texts."""
        require_form(inputs, self.settings.pairs)
        return self.encoder.encode(inputs)

    def collate(self, features: Sequence[Feature]) -> Batch:
        """Pad features to a batch."""
        return pad_inputs(features, self.encoder.pad)

    def read(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return probabilities (rows, classes)."""
        logits: torch.Tensor = call(model, batch).logits.double()
        return logits.sigmoid() if self.multi_label else logits.softmax(-1)

    def answers(
        self, inputs: Sequence[Any], features: Sequence[Feature], found: Found
    ) -> list[Prediction]:
        """Return the labels of each text, the likeliest first."""
        return self.predictions(inputs, self._table(found))

    def _table(self, found: Found) -> NDArray[np.float64]:
        return np.array(found).reshape(len(found), len(self.classes))


@dataclass(frozen=True)
class ClassificationLearner:
    """Features, batches and loss of classification."""

    scorer: Classifier
    criterion: SingleLabelLoss | MultiLabelLoss
    run: Run | None = None
    separable: bool = True

    def features(self, rows: RowSet) -> list[Feature]:
        """Tokenise texts; ``label`` is a class number, or one 0 or 1 a class."""
        assert isinstance(rows, TextSet), "a classifier is trained on labelled texts"
        column = {name: number for number, name in enumerate(self.scorer.classes)}
        features = self.scorer.encoder.encode(rows.inputs, self.run)
        labels: list[Any] = (
            [[int(name in row) for name in column] for row in rows.labels]
            if rows.multi_label
            else [column[row[0]] for row in rows.labels]
        )
        return [{**f, "label": label} for f, label in zip(features, labels, strict=True)]

    def collate(self, features: Sequence[Feature]) -> Batch:
        """Pad features; ``labels`` are (rows,), or (rows, classes)."""
        labels = torch.tensor([feature["label"] for feature in features])
        return {**self.scorer.collate(features), "labels": labels}

    def units(self, batch: Batch) -> torch.Tensor:
        """Return the rows, or with class weights the sum of their weights."""
        return self.criterion.units(batch["labels"])

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the summed loss."""
        return self.criterion(call(model, batch).logits, batch["labels"])

    def validate(self, model: nn.Module, rows: RowSet) -> Mapping[str, float]:
        """Return macro F1 over the labels that occur, and accuracy."""
        scored = replace(self.scorer, model=model).score(rows)
        seen = np.flatnonzero((scored.truth | scored.decision).any(0))
        f1 = f1_score(
            scored.truth[:, seen], scored.decision[:, seen], average=None, zero_division=0
        )
        right = (scored.truth == scored.decision).all(1)
        macro = float(np.mean(f1)) if len(seen) else 1.0
        return {"macro_f1": macro, "accuracy": float(right.mean())}


class Classification:
    """Trains a head, and what the method lets learn, on labelled texts."""

    def check(self, rows: TextSet, params: ClassificationParams) -> Sequence[str]:
        """Refuse what no classifier can be trained on."""
        problems = []
        least = 1 if rows.multi_label else 2
        if len(rows.classes) < least:
            found = f"only {rows.classes[0]!r}" if rows.classes else "none"
            problems.append(
                f"a classifier needs at least {least} labels, and the rows have {found}"
            )
        missing = 0 if rows.multi_label else sum(not row for row in rows.labels)
        if missing:
            problems.append(f"{missing} rows have no label")
        if rows.multi_label and params.resample == "balanced":
            problems.append(
                "rows of several labels are not resampled; take class_weights: balanced"
            )
        return problems

    def head(self, rows: TextSet, params: ClassificationParams) -> Head:
        """Return a head with the labels, sorted."""
        return Head(
            kind="sequence-classification",
            labels=rows.classes,
            problem="multi-label" if rows.multi_label else "single-label",
        )

    def fit(
        self, attached: Attached, data: TrainingData, params: ClassificationParams, run: Run
    ) -> Outcome:
        """Train on the shared loop; the best step has the best macro F1 on validation rows."""
        rows = data.train
        assert isinstance(rows, TextSet), "a classifier is trained on labelled texts"
        refuse_unknown_labels(data, attached.head.labels)
        scorer = make_classifier(attached, params, pairs=bool(rows.seconds))
        learner = ClassificationLearner(scorer, criterion(rows, scorer.settings, params), run)
        sample = replace(learner, run=None).features(rows.select(range(min(len(rows), 64))))
        refuse_if_padding_shows(attached.model, learner, sample)
        weights = row_weights(rows) if params.resample == "balanced" else None
        return outcome_of(scorer, fit(attached, learner, data, params, run, weights))

    def save(self, outcome: Outcome, folder: Path) -> None:
        """Write ``task.json``."""
        assert isinstance(outcome.scorer, Classifier), "an objective saves what it fitted"
        write_settings(folder, outcome.scorer.settings)

    def load(self, base: LoadedBase, folder: Path) -> Classifier:
        """Rebuild the classifier; raises IntegrityError when its parts do not fit together."""
        settings = read_settings(folder, ClassifierSettings)
        require_labels(base, settings.labels)
        return Classifier(base.model, text_encoder(base, settings.max_length), settings)

    def adopt(self, base: LoadedBase, params: ClassificationParams) -> Classifier:
        """Return the classifier of a model that was trained elsewhere."""
        return make_classifier(base, params)


def make_classifier(
    base: Base, params: ClassificationParams, pairs: bool | None = None
) -> Classifier:
    """Return the classifier of a base, with the labels of its head."""
    encoder = text_encoder(base, params.max_length)
    settings = ClassifierSettings(
        labels=base.head.labels,
        multi_label=base.head.problem == "multi-label",
        threshold=params.threshold,
        max_length=encoder.max_length,
        pairs=pairs,
    )
    return Classifier(base.model, encoder, settings)


def criterion(
    rows: TextSet, settings: ClassifierSettings, params: ClassificationParams
) -> SingleLabelLoss | MultiLabelLoss:
    """Return the loss, its class weights counted on the training rows alone."""
    weights = None
    if params.class_weights == "balanced":
        count = Counter(label for row in rows.labels for label in row)
        counts = torch.tensor([float(count[label]) for label in settings.labels])
        weights = (
            positive_weights(counts, len(rows))
            if settings.multi_label
            else balanced_weights(counts)
        )
    kind = MultiLabelLoss if settings.multi_label else SingleLabelLoss
    return kind(weights, params.label_smoothing)


def row_weights(rows: TextSet) -> list[float]:
    """Return for each row one over how often its label occurs.

    Raises RecipeError where rows carry several labels.
    """
    if rows.multi_label:
        raise RecipeError(
            "rows of several labels cannot be balanced by drawing them",
            field="objective.resample",
            hint="take class_weights: balanced",
        )
    counts = Counter(row[0] for row in rows.labels)
    return [1 / counts[row[0]] for row in rows.labels]
