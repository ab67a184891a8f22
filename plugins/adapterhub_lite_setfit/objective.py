"""The contrastive objective, as the core sees it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adapterhub_lite.data.table import RowSet, TextSet
from adapterhub_lite.errors import IntegrityError
from adapterhub_lite.pooling import read_pooling, write_pooling
from adapterhub_lite.protocols import Attached, LoadedBase, Outcome, Run, TrainingData
from adapterhub_lite.scoring import ProbabilityScorer
from adapterhub_lite.specs import Head
from adapterhub_lite_setfit import ContrastiveParams
from adapterhub_lite_setfit.encoder import Encoder, make_encoder
from adapterhub_lite_setfit.fast import fit_fast
from adapterhub_lite_setfit.head import LogisticHead, load_head
from adapterhub_lite_setfit.tuning import Snapshot

SCORER_FILE = "scorer.json"


@dataclass(frozen=True, slots=True)
class FewShotScorer(ProbabilityScorer):
    """An encoder and a logistic head."""

    encoder: Encoder
    head: LogisticHead
    threshold: float

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, in the order of the probability columns."""
        return self.head.classes

    @property
    def multi_label(self) -> bool:
        """Whether each label has a probability of its own."""
        return self.head.multi_label

    def embed(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float64]:
        """Return embeddings (texts, width)."""
        return self.encoder.embed(self.encoder.tokenise(texts), progress)

    def predict_proba(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float64]:
        """Return probabilities (texts, classes)."""
        return self.head.predict_proba(self.embed(texts, progress))


@dataclass(frozen=True, slots=True)
class FrozenScorer(ProbabilityScorer):
    """The baseline: a head on the base's own embeddings, whose weights it puts back to score."""

    scorer: FewShotScorer
    original: Snapshot

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, in the order of the probability columns."""
        return self.scorer.classes

    @property
    def multi_label(self) -> bool:
        """Whether each label has a probability of its own."""
        return self.scorer.multi_label

    @property
    def threshold(self) -> float:
        """The probability from which a label counts."""
        return self.scorer.threshold

    def predict_proba(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float64]:
        """Return probabilities (texts, classes)."""
        with self.original.swapped_in():
            return self.scorer.predict_proba(texts, progress)


class Contrastive:
    """Trains an encoder with a supervised contrastive loss and closes it with a logistic head."""

    def head(self, rows: RowSet, params: ContrastiveParams) -> Head:
        """Return the bare transformer: the logistic head is no part of it."""
        return Head(labels=rows.classes)

    def check(self, data: RowSet, params: ContrastiveParams) -> Sequence[str]:
        """Refuse what no classifier can be trained on."""
        assert isinstance(data, TextSet), "the core reads labelled texts for this objective"
        if len(data.classes) < 2 and not data.multi_label:
            found = f"only {data.classes[0]!r}" if data.classes else "none"
            return [f"a classifier needs at least two labels, and the rows have {found}"]
        return []

    def fit(
        self, attached: Attached, data: TrainingData, params: ContrastiveParams, run: Run
    ) -> Outcome:
        """Train with the chosen engine; the tuned frozen baseline comes with the outcome."""
        pooling = read_pooling(attached.path)
        encoder = make_encoder(attached, pooling, params.max_length)
        original = Snapshot(attached.model)
        if params.engine == "setfit":
            from adapterhub_lite_setfit.library import fit_library as engine
        else:
            engine = fit_fast
        rows = data.train
        assert isinstance(rows, TextSet), "the core reads labelled texts for this objective"
        fitted = engine(encoder, attached.trainable, rows, params, run)
        tuned_score = fitted.tuned.score if fitted.tuned else None
        scores = {"frozen": fitted.frozen.score, "fine-tuned": tuned_score}
        candidates = {name: score.accuracy for name, score in scores.items() if score}
        return Outcome(
            scorer=FewShotScorer(encoder, fitted.head, params.threshold),
            baseline=FrozenScorer(
                FewShotScorer(encoder, fitted.frozen_head, params.threshold), original
            ),
            kept=fitted.kept,
            reason=fitted.reason,
            selection=candidates.get(fitted.kept),
            candidates=candidates,
            hyperparameters={"steps": fitted.steps, "head_c": fitted.c, "pooling": pooling.mode},
        )

    def save(self, outcome: Outcome, folder: Path) -> None:
        """Add pooling, head and scoring settings to the transformer's folder."""
        scorer = outcome.scorer
        assert isinstance(scorer, FewShotScorer), "an objective saves what it fitted"
        write_pooling(scorer.encoder.pooling, scorer.encoder.width, folder)
        scorer.head.save(folder)
        settings = {"max_length": scorer.encoder.max_length, "threshold": scorer.threshold}
        text = json.dumps(settings, indent=2) + "\n"
        (folder / SCORER_FILE).write_text(text, encoding="utf-8")

    def load(self, base: LoadedBase, folder: Path) -> FewShotScorer:
        """Rebuild the scorer; raises IntegrityError when its files do not parse."""
        try:
            settings = json.loads((folder / SCORER_FILE).read_text(encoding="utf-8"))
            max_length, threshold = int(settings["max_length"]), float(settings["threshold"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"{SCORER_FILE} in {folder} does not parse: {error}") from error
        encoder = make_encoder(base, read_pooling(folder), max_length)
        return FewShotScorer(encoder, load_head(folder), threshold)
