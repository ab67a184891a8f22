"""``ahl data``: look at rows before training on them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

import click

from adapterhub_lite.cli.common import (
    emit_json,
    json_option,
    print_table,
    settings,
    shared_options,
)
from adapterhub_lite.specs import RowKind
from adapterhub_lite.wording import counted

if TYPE_CHECKING:
    from adapterhub_lite.data.loading import LoadedData
    from adapterhub_lite.data.report import DataReport, Finding, Row, SetSummary

UNTRAINABLE = 2
LABELS = 10
"""How many labels of a finding are listed."""


@click.group()
def data() -> None:
    """Check rows before training on them."""


@data.command("check")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option(
    "--rows",
    "kind",
    type=click.Choice(get_args(RowKind)),
    default="labelled-text",
    show_default=True,
    help="What a row is.",
)
@click.option("--test", metavar="FILE", help="Test rows, to check against the training rows.")
@click.option("--validation", metavar="FILE", help="Validation rows, to check likewise.")
@click.option("--text", metavar="COLUMN", help="The column with the text.")
@click.option("--text2", metavar="COLUMN", help="The column with the second text of pairs.")
@click.option(
    "--label",
    "labels",
    metavar="COLUMN",
    multiple=True,
    help="The column with the label; given several times: 0/1 columns, one a label.",
)
@click.option(
    "--column",
    "columns",
    metavar="ROLE=COLUMN",
    multiple=True,
    callback=lambda _, __, values: dict(map(_role_and_column, values)),
    help="The column of another role (words, tags, source, ...).",
)
@click.option("--form", help="How rows are written, where the columns do not tell.")
@click.option(
    "--scale",
    type=(float, float),
    metavar="LOW HIGH",
    help="The lowest and the highest similarity in the files.",
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
    files: tuple[str, ...],
    kind: RowKind,
    test: str | None,
    validation: str | None,
    text: str | None,
    text2: str | None,
    labels: tuple[str, ...],
    columns: dict[str, str],
    form: str | None,
    scale: tuple[float, float] | None,
    multi_label: bool,
    label_separator: str,
    reader: str | None,
    encoding: str,
    near_duplicate: float,
    as_json: bool,
) -> None:
    """Say what is wrong with rows: flaws, duplicates, doubtful labels, leaks.

    FILE is CSV, TSV, JSONL, JSON, Parquet, a folder of texts per label or a saved `datasets`
    folder; several are checked as one set. Exits with 2 when the rows cannot be trained on.
    """
    from adapterhub_lite.data.loading import load
    from adapterhub_lite.data.prepare import check_loaded
    from adapterhub_lite.plugins import get_catalogue
    from adapterhub_lite.recipes import DataSection, validate

    given = {
        "train": files[0] if len(files) == 1 else list(files),
        "test": test,
        "validation": validation,
        "text": text,
        "text2": text2,
        "label": labels[0] if len(labels) == 1 else list(labels) or None,
        "columns": columns,
        "form": form,
        "scale": scale,
        "multi_label": multi_label,
        "label_separator": label_separator,
        "format": reader,
        "encoding": encoding,
    }
    section = validate(DataSection, given)
    catalogue = get_catalogue(first_party_only=settings().no_plugins)
    loaded = load(section, catalogue, rows=kind, pairs=True)
    report = check_loaded(loaded, near_duplicate)
    if as_json:
        found = {"columns": loaded.columns.as_dict(), "notes": loaded.notes}
        emit_json({**found, **report.to_json()})
    else:
        _print_report(report, loaded)
    if not report.trainable:
        ctx.exit(UNTRAINABLE)


def _refuse(problem: str) -> str:
    raise click.BadParameter(problem)


def _role_and_column(given: str) -> tuple[str, str]:
    role, equals, column = given.partition("=")
    if not (role and equals and column):
        raise click.BadParameter(f"{given!r} is not of the form ROLE=COLUMN")
    return role, column


def _print_report(report: "DataReport", loaded: "LoadedData") -> None:
    columns = loaded.columns.as_dict()
    named = ((role, x if isinstance(x, str) else ", ".join(x)) for role, x in columns.items())
    click.echo("   ".join(f"{role}: {names}" for role, names in named))
    if report.scheme is not None:
        click.echo(f"tags: {report.scheme}")
    for note in loaded.notes:
        click.echo(f"note: {note}")
    _print_summaries(report)
    if report.findings:
        print_table(
            ["set", "found", "how many", "what it means"],
            [_finding_cells(finding) for finding in report.findings],
        )
    for finding in report.findings:
        _print_examples(finding, labelled=report.rows == "labelled-text")
    click.echo(_verdict(report))


def _print_summaries(report: "DataReport") -> None:
    named = {"train": report.train, "validation": report.validation, "test": report.test}
    sets = {name: summary for name, summary in named.items() if summary is not None}
    heads = ["set", "rows", "usable"]
    if any(summary.classes for summary in sets.values()):
        heads += ["classes", f"{_counted_in(report)}s a class"]
    if any(summary.values for summary in sets.values()):
        heads += ["values"]
    heads += ["words a text", "normalised"]
    rows = [_summary_cells(name, summary, report) for name, summary in sets.items()]
    print_table(heads, [[cells[head] for head in heads] for cells in rows])


def _counted_in(report: "DataReport") -> str:
    return "word" if report.rows == "tagged-words" else "row"


def _summary_cells(name: str, summary: "SetSummary", report: "DataReport") -> dict[str, object]:
    counts = summary.classes.values()
    words, values = summary.words, summary.values
    return {
        "set": name,
        "rows": summary.rows,
        "usable": summary.usable,
        "classes": len(counts),
        f"{_counted_in(report)}s a class": f"{min(counts)} to {max(counts)}" if counts else "none",
        "values": f"{values.lowest:g} to {values.highest:g}, mean {values.mean:g}"
        if values
        else "none",
        "words a text": f"median {words.median}, 95 % up to {words.most}, longest {words.longest}",
        "normalised": counted(summary.normalised, "row"),
    }


def _finding_cells(finding: "Finding") -> list[object]:
    mark = "error: " if finding.severity == "error" else ""
    count = counted(finding.count, finding.unit)
    return [finding.where, f"{mark}{finding.reason}", count, finding.detail]


def _print_examples(finding: "Finding", *, labelled: bool) -> None:
    cases = [_case_line(case, labelled) for case in finding.examples]
    lines = [*cases, ", ".join(finding.labels[:LABELS])]
    if not any(lines):
        return
    click.echo(f"{finding.where}, {finding.reason}:")
    for line in filter(None, lines):
        click.echo(f"  {line}")
    if len(finding.labels) > LABELS:
        click.echo(f"  and {len(finding.labels) - LABELS} more")
    click.echo()


def _case_line(case: "Sequence[Row]", labelled: bool) -> str:
    return "\n    ".join(_row_line(row, labelled) for row in case)


def _row_line(row: "Row", labelled: bool) -> str:
    source = f"{row.source}, " if row.source else ""
    none = " → (none)" if labelled else ""
    labels = f" → {', '.join(row.labels)}" if row.labels else none
    return f"{source}row {row.row}: {row.text or '(empty)'}{labels}"


def _verdict(report: "DataReport") -> str:
    if not report.trainable:
        reasons = "; ".join(f"{e.where}: {e.reason}, {e.detail}" for e in report.errors)
        return f"cannot be trained on: {reasons}"
    train = report.train
    rows = counted(train.usable, "row")
    if train.classes:
        rows += f" in {counted(len(train.classes), 'class')}"
    warnings = counted(len(report.findings), "warning") if report.findings else "nothing wrong"
    return f"can be trained on: {rows}, {warnings}"
