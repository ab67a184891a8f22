"""Metrics with one fault each; what is sound is the share of right rows."""

from collections.abc import Callable
from typing import Any

import numpy as np

from adapterhub_lite.specs import MetricSpec
from tests.conformance.broken.entries import Broken


def _right(truth: Any, decision: Any) -> Any:
    return (truth == decision).all(axis=1)


def sound(truth: Any, decision: Any, scores: Any) -> float:
    return float(_right(truth, decision).mean())


def counts_first_rows_more(truth: Any, decision: Any, scores: Any) -> float:
    return float(np.average(_right(truth, decision), weights=np.arange(len(truth), 0, -1)))


def fails_where_all_are_wrong(truth: Any, decision: Any, scores: Any) -> float:
    right = int(_right(truth, decision).sum())
    return right / len(truth) * (right // right)


def sharpens_scores(truth: Any, decision: Any, scores: Any) -> float:
    scores **= 2
    return sound(truth, decision, scores)


class IgnoresCounts:
    def __call__(self, truth: Any, decision: Any, scores: Any) -> float:
        return sound(truth, decision, scores)

    def prepare(self, truth: Any, decision: Any, scores: Any) -> Callable[[Any], float]:
        return lambda counts: sound(truth, decision, scores)


ignores_counts = IgnoresCounts()


def two_lines() -> str:
    return "one\ntwo"


def _broken(fault: str, name: str, check: str, says: str, **spec: Any) -> Broken:
    return Broken(
        fault=fault,
        kind="metric",
        spec=MetricSpec(
            name="broken",
            summary="The share of right rows.",
            implementation=f"{__name__}:{name}",
            tasks=frozenset({"text-classification"}),
            **spec,
        ),
        check=check,
        says=says,
    )


BROKEN = (
    _broken(
        "says that less is better",
        "sound",
        "check_perfect_answers_are_best",
        "smaller is better",
        greater_is_better=False,
    ),
    _broken(
        "counts rows by their place",
        "counts_first_rows_more",
        "check_order_of_rows",
        "in another order",
    ),
    _broken(
        "raises where it is undefined",
        "fails_where_all_are_wrong",
        "check_undefined_is_nan",
        "ZeroDivisionError",
    ),
    _broken(
        "changes the scores",
        "sharpens_scores",
        "check_answers_are_unmodified",
        "changes scores",
    ),
    _broken("ignores counts", "ignores_counts", "check_resampling", "resampled it is"),
    _broken(
        "signs in two lines",
        "sound",
        "check_signature",
        "not one line",
        signature=f"{__name__}:two_lines",
    ),
)
