"""``ahl predict``: label texts from the line, a file or stdin."""

import csv
import io
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapterhub_lite.cli.common import json_option, settings, shared_options

if TYPE_CHECKING:
    from adapterhub_lite.catalogue import Catalogue
    from adapterhub_lite.inference import Prediction

FORMATS = ("table", "csv", "jsonl", "json")


@click.command(short_help="Label texts with a trained version.")
@click.argument("ref")
@click.argument("texts", nargs=-1)
@click.option(
    "--file", type=click.Path(path_type=Path), help="A data file; - reads lines on stdin."
)
@click.option("--text", metavar="COLUMN", help="The column with the text, in --file.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write there.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="table, csv, jsonl or json.")
@click.option("--top", type=click.IntRange(min=1), help="How many probabilities to show.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, ...")
@json_option
@shared_options
def predict(
    ref: str,
    texts: tuple[str, ...],
    file: Path | None,
    text: str | None,
    output: Path | None,
    form: str | None,
    top: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Label TEXTS with the version REF (name, name@7 or name@prod).

    \b
    ahl predict tickets "my parcel never came"
    ahl predict tickets@prod --file messages.csv --format csv --output labelled.csv
    cat lines.txt | ahl predict tickets --format jsonl
    """
    from adapterhub_lite import api
    from adapterhub_lite.cli.progress import counting
    from adapterhub_lite.plugins import get_catalogue

    catalogue = get_catalogue(first_party_only=settings().no_plugins)
    chosen = "json" if as_json else form or _format_of(output)
    asked = _texts(texts, file, text, catalogue)
    registry = api.open_registry(settings().home)
    predictor = api.load(ref, registry=registry, catalogue=catalogue, device=device)
    with counting("predicting", len(asked)) as progress:
        predictions = predictor.predict(asked, progress)
    _write(render(predictions, chosen, predictor.classes, top), output)


def _format_of(output: Path | None) -> str:
    """Return the format that a file's ending asks for; a table for a person otherwise."""
    suffix = output.suffix.removeprefix(".") if output else ""
    return suffix if suffix in FORMATS else "table"


def _texts(
    given: Sequence[str], file: Path | None, column: str | None, catalogue: "Catalogue"
) -> list[str]:
    """Collect the texts from where they were given; raises DataError when there are none."""
    from adapterhub_lite.errors import DataError

    if given and file:
        raise click.UsageError("give texts or --file, not both")
    if given:
        return list(given)
    if file is not None and str(file) != "-":
        return _texts_in_file(file, column, catalogue)
    if file is None and sys.stdin.isatty():
        raise click.UsageError("give a text, --file FILE, or lines on stdin")
    lines = [line.rstrip("\r\n") for line in sys.stdin]
    texts = [line for line in lines if line.strip()]
    if not texts:
        raise DataError("there are no texts on stdin", hint="give one text a line")
    return texts


def _texts_in_file(file: Path, column: str | None, catalogue: "Catalogue") -> list[str]:
    from adapterhub_lite.data.columns import find_text_column
    from adapterhub_lite.data.reading import read_table

    if file.suffix == ".txt":
        return [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    table = read_table(str(file), catalogue)
    name = find_text_column(table, column)
    return ["" if row[name] is None else str(row[name]) for row in table.rows]


def render(
    predictions: "Sequence[Prediction]", form: str, classes: Sequence[str], top: int | None
) -> str:
    """Return predictions as text in one of the formats."""
    match form:
        case "json":
            return json.dumps([_record(p, top) for p in predictions], indent=2, ensure_ascii=False)
        case "jsonl":
            lines = (json.dumps(_record(p, top), ensure_ascii=False) for p in predictions)
            return "\n".join(lines)
        case "csv":
            return _csv(predictions, classes)
        case _:
            return "\n".join(_for_a_person(p, top or 3) for p in predictions)


def _record(prediction: "Prediction", top: int | None) -> dict[str, object]:
    shown = dict(list(prediction.probabilities.items())[:top])
    return {
        "text": prediction.text,
        "label": prediction.label,
        "labels": list(prediction.labels),
        "score": prediction.score,
        "probabilities": shown,
    }


def _csv(predictions: "Iterable[Prediction]", classes: Sequence[str]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["text", "label", "score", *(f"p_{name}" for name in classes)])
    for p in predictions:
        labels = "|".join(p.labels)
        writer.writerow([p.text, labels, p.score, *(p.probabilities[name] for name in classes)])
    return buffer.getvalue().rstrip("\n")


def _for_a_person(prediction: "Prediction", top: int) -> str:
    likeliest = list(prediction.probabilities.items())[:top]
    shown = "  ".join(f"{name} {value:.2f}" for name, value in likeliest)
    return f"{', '.join(prediction.labels) or '(none)'}\t{shown}\t{prediction.text[:80]}"


def _write(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text)
        return
    beside = output.with_name(f".{output.name}.part")
    try:
        beside.write_text(text + "\n", encoding="utf-8")
        beside.replace(output)
    finally:
        beside.unlink(missing_ok=True)
    click.echo(f"wrote {output}", err=True)
