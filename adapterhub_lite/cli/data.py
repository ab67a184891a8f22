"""``ahl data``: look at rows before training on them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from adapterhub_lite.cli.common import (
    emit_json,
    json_option,
    print_table,
    settings,
    shared_options,
)

if TYPE_CHECKING:
    from adapterhub_lite.data.prepare import LoadedData
    from adapterhub_lite.data.report import DataReport, Finding, Row, SetSummary

UNTRAINABLE = 2
LABELS = 10
"""How many labels of a finding are listed."""


@click.group()
def data() -> None:
    """Check rows before training on them."""


@data.command("check")
@click.argument("file")
@click.option("--test", metavar="FILE", help="Test rows, to check against the training rows.")
@click.option("--text", metavar="COLUMN", help="The column with the text.")
@click.option(
    "--label",
    "labels",
    metavar="COLUMN",
    multiple=True,
    help="The column with the label; given several times: 0/1 columns, one a label.",
)
@click.option("--multi-label", is_flag=True, help="Rows may carry several labels, or none.")
@click.option(
    "--label-separator",
    default=",",
    show_default=True,
    callback=lambda _, __, value: value or _refuse("an empty string separates nothing"),
    help="What stands between the labels in a multi-label cell.",
)
@click.option(
    "--format", "reader", metavar="READER", help="The reader, where the ending tells none."
)
@click.option("--encoding", default="utf-8", show_default=True, help="The files' text encoding.")
@click.option(
    "--near-duplicate",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.9,
    show_default=True,
    help="Texts whose word sets overlap by this share count as near-duplicates.",
)
@json_option
@shared_options
@click.pass_context
def check_command(
    ctx: click.Context,
    *,
    file: str,
    test: str | None,
    text: str | None,
    labels: tuple[str, ...],
    multi_label: bool,
    label_separator: str,
    reader: str | None,
    encoding: str,
    near_duplicate: float,
    as_json: bool,
) -> None:
    """Say what is wrong with rows: flaws, duplicates, doubtful labels, leaks.

    FILE is CSV, TSV, JSONL, JSON, Parquet, a folder of texts per label or a saved `datasets`
    folder. Exits with 2 when the rows cannot be trained on.
    """
    from adapterhub_lite.data.checks import check
    from adapterhub_lite.data.prepare import load
    from adapterhub_lite.plugins import get_catalogue
    from adapterhub_lite.recipes.data import DataSection

    section = DataSection(
        train=file,
        test=test,
        text=text,
        label=labels[0] if len(labels) == 1 else list(labels) or None,
        multi_label=multi_label,
        label_separator=label_separator,
        format=reader,
        encoding=encoding,
    )
    loaded = load(section, get_catalogue(first_party_only=settings().no_plugins))
    report = check(loaded.train, loaded.test, near_duplicate=near_duplicate)
    if as_json:
        columns = {"text": loaded.columns.text, "label": loaded.columns.label}
        emit_json({"columns": columns, "notes": loaded.notes, **report.to_json()})
    else:
        _print_report(report, loaded)
    if not report.trainable:
        ctx.exit(UNTRAINABLE)


def _refuse(problem: str) -> str:
    raise click.BadParameter(problem)


def _print_report(report: "DataReport", loaded: "LoadedData") -> None:
    label = loaded.columns.label
    names = label if isinstance(label, str) else ", ".join(label)
    click.echo(f"text: {loaded.columns.text}   label: {names}")
    for note in loaded.notes:
        click.echo(f"note: {note}")
    summaries = {"train": report.train, "test": report.test}
    print_table(
        ["set", "rows", "usable", "classes", "rows a class", "words a text", "normalised"],
        [_summary_cells(name, summary) for name, summary in summaries.items() if summary],
    )
    if report.findings:
        print_table(
            ["set", "found", "how many", "what it means"],
            [_finding_cells(finding) for finding in report.findings],
        )
    for finding in report.findings:
        _print_examples(finding)
    click.echo(_verdict(report))


def _summary_cells(name: str, summary: "SetSummary") -> list[object]:
    counts = summary.classes.values()
    words = summary.words
    return [
        name,
        summary.rows,
        summary.usable,
        len(counts),
        f"{min(counts)} to {max(counts)}" if counts else "none",
        f"median {words.median}, 95 % up to {words.most}, longest {words.longest}",
        _counted(summary.normalised, "row"),
    ]


def _finding_cells(finding: "Finding") -> list[object]:
    mark = "error: " if finding.severity == "error" else ""
    count = _counted(finding.count, finding.unit)
    return [finding.where, f"{mark}{finding.reason}", count, finding.detail]


def _print_examples(finding: "Finding") -> None:
    lines = [*map(_case_line, finding.examples), ", ".join(finding.labels[:LABELS])]
    if not any(lines):
        return
    click.echo(f"{finding.where}, {finding.reason}:")
    for line in filter(None, lines):
        click.echo(f"  {line}")
    if len(finding.labels) > LABELS:
        click.echo(f"  and {len(finding.labels) - LABELS} more")
    click.echo()


def _case_line(case: "Sequence[Row]") -> str:
    return "\n    ".join(
        f"row {row.row}: {row.text or '(empty)'} → {', '.join(row.labels) or '(none)'}"
        for row in case
    )


def _verdict(report: "DataReport") -> str:
    if not report.trainable:
        reasons = "; ".join(f"{e.where}: {e.reason}, {e.detail}" for e in report.errors)
        return f"cannot be trained on: {reasons}"
    train = report.train
    rows, classes = _counted(train.usable, "row"), _counted(len(train.classes), "class")
    warnings = _counted(len(report.findings), "warning") if report.findings else "nothing wrong"
    return f"can be trained on: {rows} in {classes}, {warnings}"


def _counted(number: int, unit: str) -> str:
    plural = "es" if unit.endswith("s") else "s"
    return f"{number} {unit}{'' if number == 1 else plural}"
