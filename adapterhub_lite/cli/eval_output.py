"""What ``ahl eval`` prints."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from adapterhub_lite.cli.common import emit_json, print_table
from adapterhub_lite.wording import counted

if TYPE_CHECKING:
    from adapterhub_lite.cli.eval import Results, VersionScores
    from adapterhub_lite.evaluation import Comparison, Evaluation

MATRIX = 8
"""A confusion matrix of at most so many labels is printed whole."""

CONFUSED = 10
"""How many pairs of a larger one are printed."""

SURE = 0.05
"""The p-value below which a difference is called one."""


def results_json(results: "Results") -> None:
    """Print everything as JSON."""
    emit_json(
        {
            "data": results.source,
            "rows": len(results.rows),
            "task": results.task,
            "notes": list(results.notes),
            "versions": [{"ref": v.name, **v.evaluation.to_json()} for v in results.versions],
            "comparisons": [asdict(comparison) for comparison in results.comparisons],
        }
    )


def print_results(results: "Results") -> None:
    """Print the metrics of one version, or of two side by side, and what was confused."""
    names = " and ".join(version.name for version in results.versions)
    click.echo(f"{names} on {results.source}: {counted(len(results.rows), 'row')}, {results.task}")
    for note in dict.fromkeys((*results.notes, *_notes(results.versions))):
        click.echo(f"note: {note}", err=True)
    if len(results.versions) == 2:
        _print_comparison(results)
        return
    (version,) = results.versions
    evaluation = version.evaluation
    print_table(("metric", "value", "95 % interval"), _metric_rows(evaluation))
    if results.task == "token-classification" and evaluation.classes:
        print_table(("tag", "precision", "recall", "F1", "words"), _class_rows(evaluation))
    _print_confusion(evaluation)


def _notes(versions: "Sequence[VersionScores]") -> Iterator[str]:
    for version in versions:
        mark = f"{version.name}: " if len(versions) > 1 else ""
        yield from (f"{mark}{note}" for note in version.evaluation.notes)


def _metric_rows(evaluation: "Evaluation") -> Iterator[tuple[object, ...]]:
    for metric in evaluation.metrics:
        yield metric.name, _figure(metric.value), _interval(metric.interval)


def _class_rows(evaluation: "Evaluation") -> Iterator[tuple[object, ...]]:
    for row in evaluation.classes:
        rates = (f"{rate:.3f}" for rate in (row.precision, row.recall, row.f1))
        yield row.label, *rates, row.support


def _print_confusion(evaluation: "Evaluation") -> None:
    matrix = evaluation.confusion
    if matrix is None:
        return
    labels = [row.label for row in evaluation.classes]
    if len(labels) <= MATRIX:
        rows = ((label, *counts) for label, counts in zip(labels, matrix, strict=True))
        print_table(("true \\ answered", *labels), rows)
        return
    pairs = _confused(matrix, labels)
    if pairs:
        print_table(("true", "answered", "rows"), pairs)


def _confused(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> list[tuple[Any, ...]]:
    pairs = [
        (labels[true], labels[answered], count)
        for true, row in enumerate(matrix)
        for answered, count in enumerate(row)
        if count and true != answered
    ]
    return sorted(pairs, key=lambda pair: -pair[2])[:CONFUSED]


def _print_comparison(results: "Results") -> None:
    first, second = (version.name for version in results.versions)
    if not results.comparisons:
        click.echo("there is no metric that both have")
        return
    print_table(
        ("metric", first, second, "difference", "95 % interval", "p", ""),
        (_comparison_row(comparison) for comparison in results.comparisons),
    )
    tests = {c.test: c.metric for c in reversed(results.comparisons)}
    click.echo(f"p: {'; '.join(sorted(tests))}. * below {SURE}, each metric on its own")


def _comparison_row(comparison: "Comparison") -> tuple[object, ...]:
    return (
        comparison.metric,
        _figure(comparison.first),
        _figure(comparison.second),
        f"{comparison.difference:+.4g}",
        _interval(comparison.interval),
        f"{comparison.p_value:.3g}",
        "*" if comparison.p_value < SURE else "",
    )


def _figure(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1e4 else f"{value:.4g}"


def _interval(interval: tuple[float, float]) -> str:
    return f"{_figure(interval[0])} to {_figure(interval[1])}"
