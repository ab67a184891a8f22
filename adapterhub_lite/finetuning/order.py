"""In which order features are trained on: drawn from the run's seed alone.

An epoch's order is a function of the seed and the epoch's number, never of a generator's state, so
that a resumed run goes on in the middle of an epoch by counting.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapterhub_lite.errors import RecipeError
from adapterhub_lite.finetuning.learner import Feature
from adapterhub_lite.finetuning.params import TrainerParams
from adapterhub_lite.protocols import TrainingData

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]

GROUPED_STEPS = 50
"""Steps whose features are sorted by length together: more pads less and shuffles less."""


@dataclass(frozen=True, slots=True)
class DataOrder:
    """Features in steps. An epoch draws as many features as there are.

    ``lengths`` (features,) counts tokens. ``weights`` (features,) are in proportion to how often a
    feature is drawn; None draws each once. ``groups`` (features,) number the data sets, whose
    shares of an epoch are exact up to a feature. ``difficulty`` (features,) orders the first epoch.
    """

    seed: int
    step_size: int
    lengths: Indices
    weights: Floats | None = None
    groups: Indices | None = None
    difficulty: Floats | None = None
    by_length: bool = False
    _last: dict[int, Indices] = field(default_factory=dict, repr=False, compare=False)

    @property
    def steps_per_epoch(self) -> int:
        """Steps that an epoch takes; its last may be smaller."""
        return -(-len(self.lengths) // self.step_size)

    def step(self, number: int) -> Indices:
        """Return the features of a step, counted from 0 over all epochs."""
        epoch, place = divmod(number, self.steps_per_epoch)
        if epoch not in self._last:
            self._last.clear()
            self._last[epoch] = self.epoch(epoch)
        return self._last[epoch][place * self.step_size : (place + 1) * self.step_size]

    def epoch(self, number: int) -> Indices:
        """Return the features of an epoch, counted from 0, in order."""
        rng = np.random.default_rng([self.seed, number])
        drawn = rng.permutation(len(self.lengths))
        if self.weights is not None:
            drawn = rng.permutation(self._resampled(drawn, self.weights, rng))
        if self.difficulty is not None and number == 0:
            return np.asarray(drawn[np.argsort(self.difficulty[drawn], kind="stable")])
        return self._grouped(drawn, rng) if self.by_length else drawn

    def _resampled(self, shuffled: Indices, weights: Floats, rng: np.random.Generator) -> Indices:
        """Draw systematically: a feature comes as often as it should, rounded up or down."""
        if self.groups is not None:
            shuffled = shuffled[np.argsort(self.groups[shuffled], kind="stable")]
        possible = shuffled[weights[shuffled] > 0]
        ends = np.cumsum(weights[possible])
        points = (np.arange(len(shuffled)) + rng.random()) / len(shuffled) * ends[-1]
        places = np.minimum(np.searchsorted(ends, points, "right"), len(possible) - 1)
        return np.asarray(possible[places])

    def _grouped(self, drawn: Indices, rng: np.random.Generator) -> Indices:
        """Sort by length within stretches of steps, then shuffle whole steps.

        The longest step comes first: memory runs out at once, or never.
        """
        stretch = self.step_size * GROUPED_STEPS
        parts = (drawn[at : at + stretch] for at in range(0, len(drawn), stretch))
        ordered = np.concatenate(
            [part[np.argsort(-self.lengths[part], kind="stable")] for part in parts]
        )
        whole = len(ordered) // self.step_size
        steps = ordered[: whole * self.step_size].reshape(whole, self.step_size)
        if whole == 0:
            return ordered
        longest = int(np.argmax(self.lengths[steps].max(axis=1)))
        rest = rng.permutation(np.delete(np.arange(whole), longest))
        tail = ordered[whole * self.step_size :]
        return np.concatenate([steps[[longest, *rest]].ravel(), tail])


def make_order(
    features: Sequence[Feature],
    data: TrainingData,
    params: TrainerParams,
    seed: int,
    row_weights: Sequence[float] | None = None,
) -> DataOrder:
    """Return the order that ``params`` ask for.

    Raises RecipeError for a curriculum by a column with other values than finite numbers.
    """
    rows = np.array([feature["row"] for feature in features], dtype=np.int64)
    lengths = np.array([feature["length"] for feature in features], dtype=np.int64)
    groups = _groups(rows, data, params)
    return DataOrder(
        seed=seed,
        step_size=params.batch_size * params.gradient_accumulation,
        lengths=lengths,
        weights=_weights(rows, groups, data, params, row_weights),
        groups=groups,
        difficulty=_difficulty(rows, lengths, data, params),
        by_length=params.group_by_length,
    )


def _groups(rows: Indices, data: TrainingData, params: TrainerParams) -> Indices | None:
    if data.sources:
        names = sorted(set(data.sources))
        return np.array([names.index(data.sources[row]) for row in rows], dtype=np.int64)
    return None


def _weights(
    rows: Indices,
    groups: Indices | None,
    data: TrainingData,
    params: TrainerParams,
    row_weights: Sequence[float] | None,
) -> Floats | None:
    if row_weights is None and params.temperature == 1 and not params.shares:
        return None
    if row_weights is None:
        weights = np.ones(len(rows))
    else:
        assert len(row_weights) == len(data.train), "a row lacks its weight"
        weights = np.asarray(row_weights, dtype=np.float64)[rows]
    if groups is None:
        return weights
    totals = np.bincount(groups, weights)
    return np.asarray(weights * (_mixture(groups, data, params) / totals)[groups])


def _mixture(groups: Indices, data: TrainingData, params: TrainerParams) -> Floats:
    """Return each data set's share: as given, or by size (Raffel et al., 2020, 3.5.2)."""
    names = sorted(set(data.sources))
    if not params.shares:
        return np.asarray(np.bincount(groups) ** (1.0 / params.temperature), dtype=np.float64)
    return np.array([params.shares[name] for name in names])


def _difficulty(
    rows: Indices, lengths: Indices, data: TrainingData, params: TrainerParams
) -> Floats | None:
    if params.curriculum is None:
        return None
    if params.curriculum == "length":
        return lengths.astype(np.float64)
    extras = data.train.extras
    scores = np.array([_number(value) for value in extras[params.curriculum]])
    if not np.isfinite(scores).all():
        bad = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise RecipeError(
            f"row {bad + 1} has {extras[params.curriculum][bad]!r} as {params.curriculum!r}, "
            "which is no number to order by",
            field="objective.curriculum",
        )
    return scores[rows]


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
