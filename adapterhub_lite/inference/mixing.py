"""Rows of a batch, each answered by its own version: those that can share a pass do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adapterhub_lite.errors import AdapterHubError, DataError
from adapterhub_lite.inference.loaded import Pooled
from adapterhub_lite.inference.predictor import Predictor, Progress
from adapterhub_lite.predictions import Prediction
from adapterhub_lite.protocols import GenerationOptions, Part


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """What one row asks, and who answers it; ``predictor`` may be a composition's member.

    ``pooled`` is its adapter where rows of others may share a pass with it.
    """

    predictor: Predictor
    pooled: Pooled | None
    input: Any
    options: GenerationOptions | None


def answer_rows(rows: Sequence[Row]) -> list[Prediction | AdapterHubError]:
    """Answer rows in their order; a row that fails has its own error, and the others answer."""
    answers: dict[int, Prediction | AdapterHubError] = {}
    for places in _groups(rows):
        answers |= dict(zip(places, _answered([rows[place] for place in places]), strict=True))
    return [answers[place] for place in range(len(rows))]


def answer_together(rows: Sequence[Row], progress: Progress | None = None) -> list[Prediction]:
    """Answer rows in their order; raises what the first that fails raised."""
    answers: dict[int, Prediction] = {}
    for places in _groups(rows):
        answers |= dict(zip(places, _pass([rows[place] for place in places]), strict=True))
        if progress is not None:
            progress(len(answers))
    return [answers[place] for place in range(len(rows))]


def _groups(rows: Sequence[Row]) -> list[list[int]]:
    """Return the places of rows that go through a model together."""
    groups: dict[Any, list[int]] = {}
    for place, row in enumerate(rows):
        key: Any = id(row.predictor.scorer)
        if (own := row.pooled) is not None:
            together = id(own.pool), type(row.predictor.scorer)
            first = rows[groups[together][0]].pooled if together in groups else own
            if first is not None and first.mixes(own):
                key = together
        groups.setdefault(key, []).append(place)
    return list(groups.values())


def _answered(rows: Sequence[Row]) -> list[Prediction | AdapterHubError]:
    """Answer rows of one group; where one is refused, each half by itself."""
    try:
        return list(_pass(rows))
    except (AdapterHubError, TypeError) as error:
        if len(rows) == 1:
            return [error if isinstance(error, AdapterHubError) else DataError(str(error))]
        half = len(rows) // 2
        return _answered(rows[:half]) + _answered(rows[half:])


def _pass(rows: Sequence[Row]) -> list[Prediction]:
    by_scorer: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        by_scorer.setdefault(id(row.predictor.scorer), []).append(place)
    if len(by_scorer) == 1:
        options = [row.options for row in rows]
        return rows[0].predictor.predict([row.input for row in rows], options=options)
    answers: dict[int, Prediction] = {}
    # the order of a host's blocks, which then has no rows to move
    groups = sorted(by_scorer.values(), key=len)
    for places, found in zip(groups, _mixed([[rows[p] for p in g] for g in groups]), strict=True):
        answers |= dict(zip(places, found, strict=True))
    return [answers[place] for place in range(len(rows))]


def _mixed(groups: Sequence[Sequence[Row]]) -> list[list[Prediction]]:
    """Answer the rows of several adapters in common passes, one list for each adapter."""
    parts = [_part(group) for group in groups]
    pooled = [own for group in groups if (own := group[0].pooled) is not None]
    adapters, host = [own.adapter for own in pooled], pooled[0].pool.host
    scorer: Any = groups[0][0].predictor.scorer
    found: list[list[Prediction]] = scorer.predict_mixed(
        parts, lambda owners: host.rows([adapters[owner] for owner in owners])
    )
    return [
        group[0].predictor.presented([row.input for row in group], own)
        for group, own in zip(groups, found, strict=True)
    ]


def _part(group: Sequence[Row]) -> Part:
    predictor = group[0].predictor
    options = [row.options for row in group]
    predictor.require_fitting(options)
    return Part(predictor.scorer, predictor.prepared([row.input for row in group]), options)
