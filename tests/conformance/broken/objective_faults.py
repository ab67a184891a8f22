"""Objectives, each a sound classifier with one fault."""

import json
import os
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from adapterhub_lite.data.table import RowSet
from adapterhub_lite.errors import NonFiniteError
from adapterhub_lite.predictions import Classified, Prediction
from adapterhub_lite.protocols import Attached, LoadedBase, Outcome, Run, TrainingData
from adapterhub_lite.scoring import Scored
from adapterhub_lite.specs import Head
from adapterhub_lite_tasks.classification import Classification, Classifier

Progress = Callable[[int], None] | None


class TakesAll(Classification):
    """Looks at no row."""

    def check(self, rows: Any, params: Any) -> Sequence[str]:
        """Say nothing."""
        return []


class RefusesGood(Classification):
    """Wants more rows than there are."""

    def check(self, rows: Any, params: Any) -> Sequence[str]:
        """Refuse few rows."""
        return [*super().check(rows, params), *["it wants 1,000 rows"] * (len(rows) < 1000)]


class OtherLabels(Classification):
    """Gives the head labels in another order."""

    def head(self, rows: Any, params: Any) -> Head:
        """Turn the labels round."""
        return replace(super().head(rows, params), labels=rows.classes[::-1])


class TensorFigures(Classification):
    """Puts a tensor into the manifest."""

    def fit(self, attached: Attached, data: TrainingData, params: Any, run: Run) -> Outcome:
        """Fit, and report a tensor."""
        outcome = super().fit(attached, data, params, run)
        return replace(outcome, hyperparameters={"scale": torch.ones(1)})


class GoesUphill(Classification):
    """Maximises the loss."""

    def fit(self, attached: Attached, data: TrainingData, params: Any, run: Run) -> Outcome:
        """Turn gradients round, and fit."""
        for value in attached.model.parameters():
            value.register_hook(torch.neg)
        return super().fit(attached, data, params, run)


class TrainsAll(Classification):
    """Trains what the method froze."""

    def fit(self, attached: Attached, data: TrainingData, params: Any, run: Run) -> Outcome:
        """Let everything learn."""
        attached.model.requires_grad_(True)
        names = frozenset(name for name, _ in attached.model.named_parameters())
        return super().fit(replace(attached, trainable=names), data, params, run)


class DrawsElsewhere(Classification):
    """Adds noise that no seed decides."""

    def fit(self, attached: Attached, data: TrainingData, params: Any, run: Run) -> Outcome:
        """Move what learns by a little, and fit."""
        generator = torch.Generator().manual_seed(int.from_bytes(os.urandom(4), "big"))
        for value in attached.model.parameters():
            if value.requires_grad:
                value.data += 0.01 * torch.randn(value.shape, generator=generator)
        return super().fit(attached, data, params, run)


class GoesOn(Classification):
    """Keeps a model whose loss is NaN."""

    def fit(self, attached: Attached, data: TrainingData, params: Any, run: Run) -> Outcome:
        """Fit, whatever comes."""
        try:
            return super().fit(attached, data, params, run)
        except NonFiniteError:
            return Outcome(None, None, "fine-tuned", "it was trained", None)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Odd(Classifier):
    """A classifier that answers oddly; ``how`` says in which way."""

    how: str = ""

    def score(self, rows: RowSet, progress: Progress = None) -> Scored:
        """Score; a forgetful one leaves a row out."""
        if self.how == "forgetful":
            rows = rows.select(range(len(rows) - 1))
        return super().score(rows, progress)

    def predict(self, inputs: Sequence[Any], progress: Progress = None) -> list[Prediction]:
        """Predict; one that sorts does not put answers back."""
        asked = sorted(inputs, key=len) if self.how == "sorted" else inputs
        found = super().predict(asked, progress)
        return [_Shown(answer) for answer in found] if self.how == "shown" else found

    def predict_proba(self, texts: Sequence[Any], progress: Progress = None) -> Any:
        """Return probabilities; one that compares divides them by the largest of the batch."""
        found = super().predict_proba(texts, progress)
        if self.how == "compared" and len(found):
            found = found / found.max(axis=0)
        return np.sqrt(found) if self.how == "sharpened" else found


@dataclass(frozen=True)
class _Shown:
    """A prediction whose record is no JSON."""

    answer: Prediction

    def record(self) -> dict[str, Any]:
        """Return a set."""
        assert isinstance(self.answer, Classified)
        return {"labels": set(self.answer.labels)}

    def summary(self) -> str:
        """Return the labels."""
        return self.answer.summary()


class AnswersOddly(Classification):
    """Fits a classifier that answers oddly, in a way that a subclass names."""

    how = ""

    def fit(self, attached: Attached, data: TrainingData, params: Any, run: Run) -> Outcome:
        """Fit, and wrap the classifier."""
        outcome = super().fit(attached, data, params, run)
        return replace(outcome, scorer=_odd(outcome.scorer, self.how))

    def load(self, base: LoadedBase, folder: Path) -> Classifier:
        """Load the same."""
        return _odd(super().load(base, folder), self.how)


class ForgetsARow(AnswersOddly):
    """Scores all rows but one."""

    how = "forgetful"


class Sorts(AnswersOddly):
    """Answers in the order of the texts' lengths."""

    how = "sorted"


class Compares(AnswersOddly):
    """Divides by the largest probability of the batch."""

    how = "compared"


class ShowsSets(AnswersOddly):
    """Gives records that are no JSON."""

    how = "shown"


class LosesATemperature(Classification):
    """Forgets a setting when it is saved."""

    def load(self, base: LoadedBase, folder: Path) -> Classifier:
        """Load with another temperature."""
        return _odd(super().load(base, folder), "sharpened")


class Pickles(Classification):
    """Pickles its labels."""

    def save(self, outcome: Outcome, folder: Path) -> None:
        """Save, and pickle the labels."""
        super().save(outcome, folder)
        (folder / "labels.pkl").write_bytes(pickle.dumps(outcome.scorer.classes))


class CannotAdopt(Classification):
    """Declares adopts, and wants what only training makes."""

    def adopt(self, base: LoadedBase, params: Any) -> Classifier:
        """Ask for a file that is not there."""
        settings = json.loads((base.path / "task.json").read_text(encoding="utf-8"))
        raise AssertionError(settings)


def shows_nothing(base: LoadedBase, rows: RowSet, params: Any, run: Run) -> list[Any]:
    """Show no row."""
    return []


def _odd(scorer: Any, how: str) -> Odd:
    return Odd(scorer.model, scorer.encoder, scorer.settings, how)
