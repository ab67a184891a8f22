"""Cross-validation: how many steps, if any, and which regularisation of the head."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adapterhub_lite.protocols import Run
from adapterhub_lite_setfit import ContrastiveParams
from adapterhub_lite_setfit.head import Floats, fit_head, score_rows
from adapterhub_lite_setfit.prefix_cache import PrefixCache
from adapterhub_lite_setfit.tuning import (
    Labels,
    Snapshot,
    TrainingSet,
    can_train,
    checkpoints,
    tune,
)

CLEARLY = 2.0
"""A difference of so many standard errors is no accident."""
ROUGHLY = 1e-3
"""The tolerance of heads that are only compared; it halves their cost."""
DEFAULT_C = 10.0
"""The head's C where there are too few rows to choose it: the best on most few-shot data."""
Fold = tuple[NDArray[np.intp], NDArray[np.intp]]


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """A candidate on held-out rows, row by row: F1 (one label: right or wrong) and log-loss."""

    rows: Floats
    losses: Floats

    @property
    def accuracy(self) -> float:
        """The mean over rows: with one label a row the accuracy, else F1 averaged over rows."""
        return float(self.rows.mean())

    @property
    def log_loss(self) -> float:
        """The mean log-loss."""
        return float(self.losses.mean())

    def lead(self, other: "Score") -> float:
        """Return by how many standard errors it is more accurate than ``other`` on the same rows.

        The error is that of the paired difference where there is none (McNemar's test). ``other``
        may have been scored on further rows behind those of this one.
        """
        difference = self.rows - other.rows[: len(self.rows)]
        error = float(np.sqrt(np.square(difference).sum()))
        return float(difference.sum()) / error if error else 0.0


@dataclass(frozen=True, slots=True)
class Problem:
    """What a selection is about: the labels of all rows, and the parameters."""

    labels: Labels
    multi_label: bool
    params: ContrastiveParams


Table = dict[tuple[int, float], list[Score]]
"""(steps, C) → its score in each fold; 0 steps is the frozen encoder."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A point that was validated: so many steps (0: frozen), such a C, such a score."""

    steps: int
    c: float
    score: Score | None


def folds(labels: Labels, count: int, seed: int) -> list[Fold]:
    """Split row numbers into at most ``count`` stratified folds: (train, held out) pairs.

    A row whose (first) label occurs once stays in every training part: it cannot be both learnt
    and held out. Fewer than two rows a class, or one class: no folds.
    """
    from sklearn.model_selection import StratifiedKFold

    first = np.array([min(names, default="") for names in labels])
    names, counts = np.unique(first, return_counts=True)
    shared = np.flatnonzero(np.isin(first, names[counts >= 2]))
    single = np.flatnonzero(~np.isin(first, names[counts >= 2]))
    fewest = counts[counts >= 2].min(initial=len(first))
    splits = min(count, int(fewest))
    if splits < 2 or len(names) < 2 or not len(shared):
        return []
    splitter = StratifiedKFold(splits, shuffle=True, random_state=seed)
    return [
        (np.sort(np.concatenate([shared[train], single])), shared[held])
        for train, held in splitter.split(shared, first[shared])
    ]


def choose_frozen(embeddings: Floats, problem: Problem, seed: int) -> Candidate:
    """Choose the C of a head on fixed embeddings by cross-validation over all folds."""
    table: Table = {}
    for fold in folds(problem.labels, problem.params.folds or 4, seed):
        _score_heads(table, 0, embeddings, problem, fold)
    return _best_of_each(table)[0] if table else Candidate(0, DEFAULT_C, None)


def choose_tuned(cache: PrefixCache, problem: Problem, run: Run) -> Candidate | None:
    """Choose steps and C of the fine-tuned encoder by cross-validation.

    Each fold is a fresh training on its training part only, scored on the way as well as at the
    end, so that the best number of steps is found too. The folds are those of
    :func:`choose_frozen`, from the first on, until ``validation_rows`` rows were held out. None
    where there are too few rows.
    """
    params, labels = problem.params, problem.labels
    table: Table = {}
    snapshot = Snapshot(cache.encoder.model)
    chosen = list(_enough(folds(labels, params.folds, run.seed), params.validation_rows))
    total = len(chosen) * params.steps
    for number, fold in enumerate(chosen):
        part = TrainingSet(fold[0].tolist(), [labels[i] for i in fold[0]])
        if not can_train(part.labels):
            return None
        before = number * params.steps

        def on_step(step: int, loss: float, fold: Fold = fold, before: int = before) -> None:
            run.step("validate", before + step, total, loss=loss)
            if step in checkpoints(params.steps):
                _score_heads(table, step, _embed_midway(cache), problem, fold)

        tune(cache, part, params, run.seed, params.steps, on_step)
        snapshot.restore()
    return _choose_steps(_best_of_each(table)) if table else None


def _enough(candidates: Sequence[Fold], rows: int) -> Iterator[Fold]:
    held = 0
    for fold in candidates:
        if held >= rows:
            return
        held += len(fold[1])
        yield fold


def _embed_midway(cache: PrefixCache) -> Floats:
    """Embed all rows in the middle of training, without its dropout."""
    model = cache.encoder.model
    model.eval()
    try:
        return cache.embed()
    finally:
        model.train()


def _score_heads(
    table: Table, steps: int, embeddings: Floats, problem: Problem, fold: Fold
) -> None:
    """Fit a head of every C on the fold's training part and score it on its held-out part."""
    train, held = fold
    known = [problem.labels[i] for i in train]
    asked = [problem.labels[i] for i in held]
    for c in problem.params.head_c:
        head = fit_head(embeddings[train], known, problem.multi_label, c, ROUGHLY)
        score = Score(*score_rows(head, embeddings[held], asked, problem.params.threshold))
        table.setdefault((steps, c), []).append(score)


def _best_of_each(table: Table) -> list[Candidate]:
    """Return the best candidate of each number of steps, fewest steps first.

    The head's C is chosen by log-loss: on few rows many a C has the same accuracy. Of equals the
    stronger regularisation wins.
    """
    pooled = {key: _pool(scores) for key, scores in sorted(table.items())}
    best: dict[int, Candidate] = {}
    for (steps, c), score in pooled.items():
        rival = best[steps].score if steps in best else None
        if rival is None or score.log_loss < rival.log_loss:
            best[steps] = Candidate(steps, c, score)
    return list(best.values())


def _choose_steps(candidates: Sequence[Candidate]) -> Candidate:
    """Choose all steps, unless stopping early did clearly better: then the best such stop."""
    *early, full = candidates
    assert full.score is not None, "candidates of a table are scored"
    leads = [c.score.lead(full.score) if c.score else 0.0 for c in early]
    if not leads or max(leads) < CLEARLY:
        return full
    return early[leads.index(max(leads))]


def _pool(scores: Sequence[Score]) -> Score:
    return Score(
        np.concatenate([score.rows for score in scores]),
        np.concatenate([score.losses for score in scores]),
    )
