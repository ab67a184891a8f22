"""What a metric is held to, on made-up answers of every task that its spec names."""

import math
import warnings
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from adapterhub_lite.errors import MissingDependencyError
from adapterhub_lite.evaluation import PreparedMetric
from adapterhub_lite.plugins import one_line
from adapterhub_lite.scoring import Scored
from adapterhub_lite.specs import MetricSpec
from adapterhub_lite.testing.answers import answers, degenerate, perfect
from adapterhub_lite.testing.outcomes import CheckFailedError, NotApplicableError
from adapterhub_lite.testing.subject import Subject

ROWS: Final = 24
CLOSE: Final = 1e-6


def check_perfect_answers_are_best(subject: Subject) -> None:
    """Answers that are all right score better than answers half of which are wrong.

    Set ``greater_is_better=False`` for a metric of errors. The arrays are those of
    ``adapterhub_lite.scoring.Scored``: truth, decision, scores.
    """
    spec, metric = _spec(subject), _metric(subject)
    for what, wrong in _answered(spec):
        right = perfect(wrong)
        best, worse = _value(metric, right), _value(metric, wrong)
        if not math.isfinite(best):
            raise CheckFailedError(f"perfect answers score {best}, for {what}")
        if not (best > worse if spec.greater_is_better else best < worse):
            said = "greater" if spec.greater_is_better else "smaller"
            raise CheckFailedError(
                f"{said} is better, and perfect answers score {best:.4g}, wrong ones {worse:.4g}, "
                f"for {what}"
            )


def check_order_of_rows(subject: Subject) -> None:
    """The order of the rows does not matter.

    A metric is of the rows together: sum over them, or sort them by what they are.
    """
    spec, metric = _spec(subject), _metric(subject)
    order = np.random.default_rng(3).permutation(ROWS)
    for what, rows in _answered(spec):
        first, turned = _value(metric, rows), _value(metric, _chosen(rows, order))
        if not math.isclose(first, turned, rel_tol=CLOSE, abs_tol=CLOSE):
            raise CheckFailedError(f"in another order {first:.6g} becomes {turned:.6g}, for {what}")


def check_undefined_is_nan(subject: Subject) -> None:
    """On one row, or rows that are all alike, there is a number or NaN: no error, no warning.

    Return ``math.nan`` where the metric is not defined: it is left out of reports then.
    """
    spec, metric = _spec(subject), _metric(subject)
    for what, rows in _answered(spec):
        for few, chosen in degenerate(rows).items():
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                try:
                    value = metric(chosen.truth, chosen.decision, chosen.scores)
                except Exception as error:
                    raise CheckFailedError(
                        f"on {few} it raises {one_line(error)}, for {what}"
                    ) from error
            if not isinstance(value, float | int | np.floating):
                raise CheckFailedError(f"it returns {type(value).__name__}, not a number")


def check_answers_are_unmodified(subject: Subject) -> None:
    """The arrays are afterwards what they were before.

    All metrics are given the same ones: copy before you sort or clip in place.
    """
    spec, metric = _spec(subject), _metric(subject)
    for (what, rows), (_, fresh) in zip(_answered(spec), _answered(spec), strict=True):
        _value(metric, rows)
        for name in ("truth", "decision", "scores"):
            if not _same(getattr(rows, name), getattr(fresh, name)):
                raise CheckFailedError(f"it changes {name}, for {what}")


def check_resampling(subject: Subject) -> None:
    """What ``prepare`` returns gives the value of the same rows, each counted as often.

    Confidence intervals are made of it. ``RowSums`` does it for metrics of sums over rows.
    """
    spec, metric = _spec(subject), _metric(subject)
    if not isinstance(metric, PreparedMetric):
        raise NotApplicableError("it has no prepare, and is resampled by choosing rows")
    draw = np.random.default_rng(5)
    for what, rows in _answered(spec):
        measure = metric.prepare(rows.truth, rows.decision, rows.scores)
        for _ in range(4):
            counts = np.bincount(draw.integers(0, ROWS, ROWS), minlength=ROWS)
            found = float(measure(counts))
            expected = _value(metric, _chosen(rows, np.repeat(np.arange(ROWS), counts)))
            both = math.isnan(found) and math.isnan(expected)
            if not both and not math.isclose(found, expected, rel_tol=CLOSE, abs_tol=CLOSE):
                raise CheckFailedError(
                    f"resampled it is {found:.6g}, and of the same rows {expected:.6g}, for {what}"
                )


def check_signature(subject: Subject) -> None:
    """The function that ``signature`` names returns one line that says how it was computed.

    It is stored beside the value: name the library, its version and the settings.
    """
    from adapterhub_lite.evaluation.metrics import signature_of

    spec = _spec(subject)
    if not spec.signature:
        raise NotApplicableError("it has no signature")
    _metric(subject)
    said = signature_of(spec, subject.catalogue)
    if not said.strip() or "\n" in said:
        raise CheckFailedError(f"the signature is {said!r}, not one line")


def _answered(spec: MetricSpec) -> Iterator[tuple[str, Scored]]:
    """Yield what the rows are, and rows of which half are answered wrongly."""
    for task in sorted(spec.tasks):
        yield task, answers(task, ROWS)
        if task == "text-classification" and spec.multi_label:
            yield f"{task} with several labels a row", answers(task, ROWS, multi_label=True)


def _spec(subject: Subject) -> MetricSpec:
    spec = subject.offer.spec
    assert isinstance(spec, MetricSpec), "the suite gives these checks metrics"
    return spec


def _metric(subject: Subject) -> Any:
    try:
        return subject.implementation
    except MissingDependencyError as error:
        raise NotApplicableError(f"{error.message}; {error.hint}") from error


def _value(metric: Any, rows: Scored) -> float:
    return float(metric(rows.truth, rows.decision, rows.scores))


def _chosen(rows: Scored, order: Any) -> Scored:
    return Scored(rows.truth[order], rows.decision[order], rows.scores[order])


def _same(one: Any, other: Any) -> bool:
    if one.dtype != object:
        return bool(np.array_equal(one, other, equal_nan=one.dtype.kind == "f"))
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


CHECKS: Final = (
    check_perfect_answers_are_best,
    check_order_of_rows,
    check_undefined_is_nan,
    check_answers_are_unmodified,
    check_resampling,
    check_signature,
)
