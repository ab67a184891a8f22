"""Regression: a number for a text, or a pair of texts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from adapterhub_lite.data.examples import ValuedText
from adapterhub_lite.data.table import RowSet
from adapterhub_lite.finetuning.learner import Feature
from adapterhub_lite.finetuning.loop import fit
from adapterhub_lite.predictions import Prediction, Valued
from adapterhub_lite.protocols import Attached, LoadedBase, Outcome, Run, TrainingData
from adapterhub_lite.scoring import Scored
from adapterhub_lite.specs import Head
from adapterhub_lite_tasks.batching import answer
from adapterhub_lite_tasks.common import items_of, outcome_of, refuse_if_padding_shows
from adapterhub_lite_tasks.inputs import TextEncoder, call, pad_inputs, require_form, text_encoder
from adapterhub_lite_tasks.mixing import Found, OnePass
from adapterhub_lite_tasks.params import RegressionParams
from adapterhub_lite_tasks.settings import RegressorSettings, read_settings, write_settings

Batch = Mapping[str, torch.Tensor]
ERRORS: Final[Mapping[str, Callable[..., torch.Tensor]]] = {
    "mse": functional.mse_loss,
    "mae": functional.l1_loss,
    "huber": functional.huber_loss,
}


@dataclass(frozen=True)
class Regressor(OnePass):
    """A model with one output, in standard deviations from the mean of the training targets."""

    model: nn.Module
    encoder: TextEncoder
    settings: RegressorSettings

    @property
    def classes(self) -> tuple[str, ...]:
        """None."""
        return ()

    def values(
        self, inputs: Sequence[Any], progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float64]:
        """Return the numbers foretold (inputs,), in the unit of the training targets."""
        found = answer(self.model, self.features(inputs), self.collate, self.read, progress)
        return self._in_units(found)

    def features(self, inputs: Sequence[Any]) -> list[Feature]:
        """Tokenise texts, or pairs of texts."""
        require_form(inputs, self.settings.pairs)
        return self.encoder.encode(inputs)

    def collate(self, features: Sequence[Feature]) -> Batch:
        """Pad features to a batch."""
        return pad_inputs(features, self.encoder.pad)

    def score(self, rows: RowSet, progress: Callable[[int], None] | None = None) -> Scored:
        """Return true and foretold numbers (rows,), and the latter as (rows, 1)."""
        truth = np.array([item.value for item in items_of(rows, ValuedText)], dtype=np.float64)
        found = self.values(rows.inputs, progress)
        return Scored(truth, found, found[:, None])

    def predict(
        self, inputs: Sequence[Any], progress: Callable[[int], None] | None = None
    ) -> list[Prediction]:
        """Return the number of each text."""
        return _valued(inputs, self.values(inputs, progress))

    def read(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the output (rows,), standardised."""
        output: torch.Tensor = call(model, batch).logits[:, 0]
        return output.float()

    def answers(
        self, inputs: Sequence[Any], features: Sequence[Feature], found: Found
    ) -> list[Prediction]:
        """Return the number of each text."""
        return _valued(inputs, self._in_units(found))

    def _in_units(self, found: Found) -> NDArray[np.float64]:
        standardised = np.array(found).reshape(len(found))
        return standardised * self.settings.deviation + self.settings.mean


def _valued(inputs: Sequence[Any], values: NDArray[np.float64]) -> list[Prediction]:
    return [Valued(text, float(value)) for text, value in zip(inputs, values, strict=True)]


@dataclass(frozen=True)
class RegressionLearner:
    """Features, batches and loss of regression."""

    scorer: Regressor
    error: str = "mse"
    run: Run | None = None
    separable: bool = True

    def features(self, rows: RowSet) -> list[Feature]:
        """Tokenise texts; ``label`` is the standardised target."""
        settings = self.scorer.settings
        features = self.scorer.encoder.encode(rows.inputs, self.run)
        pairs = zip(features, items_of(rows, ValuedText), strict=True)
        return [
            {**feature, "label": (item.value - settings.mean) / settings.deviation}
            for feature, item in pairs
        ]

    def collate(self, features: Sequence[Feature]) -> Batch:
        """Pad features; ``labels`` are (rows,), float32."""
        labels = torch.tensor([feature["label"] for feature in features], dtype=torch.float32)
        return {**self.scorer.collate(features), "labels": labels}

    def units(self, batch: Batch) -> torch.Tensor:
        """Return the rows."""
        return torch.tensor(len(batch["labels"]))

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Return the summed error."""
        return ERRORS[self.error](self.scorer.read(model, batch), batch["labels"], reduction="sum")

    def validate(self, model: nn.Module, rows: RowSet) -> Mapping[str, float]:
        """Return the negated mean squared error in the targets' unit, and the mean absolute one."""
        scored = replace(self.scorer, model=model).score(rows)
        gap = scored.truth - scored.decision
        return {
            "neg_mean_squared_error": -float((gap**2).mean()),
            "mean_absolute_error": float(np.abs(gap).mean()),
        }


class Regression:
    """Trains one output on standardised targets."""

    def check(self, rows: RowSet, params: RegressionParams) -> Sequence[str]:
        """Refuse targets that do not differ, or are not finite."""
        values = np.array([item.value for item in items_of(rows, ValuedText)], dtype=np.float64)
        if not np.isfinite(values).all():
            return ["some values are not finite numbers"]
        if len(values) < 2 or values.std() == 0:
            return ["a regression needs rows with different values"]
        return []

    def head(self, rows: RowSet, params: RegressionParams) -> Head:
        """Return a head with one output."""
        return Head(kind="sequence-classification", labels=("value",), problem="regression")

    def fit(
        self, attached: Attached, data: TrainingData, params: RegressionParams, run: Run
    ) -> Outcome:
        """Train on the shared loop; the best step has the least squared error."""
        values = np.array([item.value for item in items_of(data.train, ValuedText)])
        encoder = text_encoder(attached, params.max_length)
        settings = RegressorSettings(
            mean=float(values.mean()),
            deviation=float(values.std()),
            max_length=encoder.max_length,
            pairs=not isinstance(data.train.inputs[0], str),
        )
        scorer = Regressor(attached.model, encoder, settings)
        learner = RegressionLearner(scorer, params.loss, run)
        sample = replace(learner, run=None).features(data.train.select(range(min(len(values), 64))))
        refuse_if_padding_shows(attached.model, learner, sample)
        return outcome_of(scorer, fit(attached, learner, data, params, run))

    def save(self, outcome: Outcome, folder: Path) -> None:
        """Write ``task.json``."""
        assert isinstance(outcome.scorer, Regressor), "an objective saves what it fitted"
        write_settings(folder, outcome.scorer.settings)

    def load(self, base: LoadedBase, folder: Path) -> Regressor:
        """Rebuild the regressor; raises IntegrityError when ``task.json`` is nonsense."""
        settings = read_settings(folder, RegressorSettings)
        return Regressor(base.model, text_encoder(base, settings.max_length), settings)

    def adopt(self, base: LoadedBase, params: RegressionParams) -> Regressor:
        """Return the regressor of a model trained elsewhere: its outputs are the values."""
        encoder = text_encoder(base, params.max_length)
        settings = RegressorSettings(mean=0.0, deviation=1.0, max_length=encoder.max_length)
        return Regressor(base.model, encoder, settings)
