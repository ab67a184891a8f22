"""``ahl predict``: label texts from the line, a file or stdin."""

import csv
import io
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
    "--file", type=click.Path(path_type=Path), help="A data file, or one text a line in .txt."
)
@click.option("--text", metavar="COLUMN", help="The column with the text, in --file.")
@click.option("--reader", help="What reads --file, where its ending does not tell.")
@click.option("--encoding", default="utf-8", show_default=True, help="The encoding of the input.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write there; .csv, .jsonl and .json choose the format.",
)
@click.option("--format", "form", type=click.Choice(FORMATS), help="The format of the answer.")
@click.option("--top", type=click.IntRange(min=1), help="How many probabilities to show.")
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda", "auto"]),
    default="cpu",
    show_default=True,
    help="Where to compute.",
)
@json_option
@shared_options
def predict(
    ref: str,
    texts: tuple[str, ...],
    file: Path | None,
    text: str | None,
    reader: str | None,
    encoding: str,
    output: Path | None,
    form: str | None,
    top: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Label TEXTS with the version REF (name, name@7 or name@prod).

    \b
    ahl predict tickets "my parcel never came"
    ahl predict tickets@prod --file messages.csv --output labelled.csv
    cat lines.txt | ahl predict tickets --format jsonl
    """  # fmt: skip
    from adapterhub_lite import api
    from adapterhub_lite.cli.progress import counting
    from adapterhub_lite.cli.registry_common import open_registry
    from adapterhub_lite.inference.loading import is_path
    from adapterhub_lite.plugins import get_catalogue

    catalogue = get_catalogue(first_party_only=settings().no_plugins)
    if output is not None and not output.parent.is_dir():
        raise click.UsageError(f"--output: there is no folder {output.parent}")
    chosen = "json" if as_json else form or _format_of(output)
    if top is not None and chosen == "csv":
        raise click.UsageError("--top: a CSV has a column for every label")
    asked = _texts(texts, file, Input(text, reader, encoding), catalogue)
    a_folder = is_path(ref) and Path(ref).expanduser().is_dir()
    registry = None if a_folder else open_registry()
    predictor = api.load(ref, registry=registry, catalogue=catalogue, device=device)
    with counting("predicting", len(asked)) as progress:
        predictions = predictor.predict(asked, progress)
    _write(render(predictions, chosen, predictor.classes, top), output)


@dataclass(frozen=True, slots=True)
class Input:
    """How a file of texts is read."""

    column: str | None
    reader: str | None
    encoding: str


def _format_of(output: Path | None) -> str:
    """Return the format that a file's ending asks for; a table for a person on the terminal.

    Raises UsageError, before anything is computed, for an ending that names none.
    """
    if output is None:
        return "table"
    form = output.suffix.removeprefix(".")
    if form not in FORMATS:
        raise click.UsageError(
            f"--output: the ending {output.suffix!r} names no format; use .csv, .jsonl or .json, "
            "or say --format"
        )
    return form


def _texts(
    given: Sequence[str], file: Path | None, how: Input, catalogue: "Catalogue"
) -> list[str]:
    """Collect the texts from where they were given; raises DataError when there are none."""
    from adapterhub_lite.errors import DataError

    if given and file:
        raise click.UsageError("give texts or --file, not both")
    if file is None and (how.column or how.reader):
        raise click.UsageError("--text and --reader are about a --file")
    if given:
        return list(given)
    if file is not None and str(file) != "-" and (file.suffix != ".txt" or how.reader):
        return _texts_in_table(file, how, catalogue)
    if file is None and sys.stdin.isatty():
        raise click.UsageError("give a text, --file FILE, or lines on stdin")
    from_stdin = file is None or str(file) == "-"
    source = "stdin" if from_stdin else str(file)
    content = sys.stdin.buffer.read() if file is None or from_stdin else _bytes_of(file)
    lines = _decoded(content, how.encoding, source).removeprefix("\ufeff").split("\n")
    texts = [line.rstrip("\r") for line in lines if line.strip()]
    if not texts:
        raise DataError(f"there are no texts in {source}", hint="give one text a line")
    blank = len(lines) - len(texts) - (lines[-1] == "")
    if blank:
        click.echo(f"{blank} blank lines of {source} are left out", err=True)
    return texts


def _bytes_of(file: Path) -> bytes:
    from adapterhub_lite.errors import DataError

    try:
        return file.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise DataError(f"{file}: no such file", path=str(file)) from None


def _decoded(content: bytes, encoding: str, source: str) -> str:
    from adapterhub_lite.errors import DataError

    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{source} is not {encoding} at byte {error.start}", hint="say which: --encoding cp1252"
        ) from error
    except LookupError:
        raise click.UsageError(f"--encoding: there is no encoding {encoding!r}") from None


def _texts_in_table(file: Path, how: Input, catalogue: "Catalogue") -> list[str]:
    from adapterhub_lite.data.columns import find_text_column
    from adapterhub_lite.data.reading import read_table

    table = read_table(str(file), catalogue, reader=how.reader, encoding=how.encoding)
    name = find_text_column(table, how.column)
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
        labels = ",".join(p.labels)
        writer.writerow([p.text, labels, p.score, *(p.probabilities[name] for name in classes)])
    return buffer.getvalue().rstrip("\n")


def _for_a_person(prediction: "Prediction", top: int) -> str:
    likeliest = list(prediction.probabilities.items())[:top]
    shown = "  ".join(f"{name} {value:.2f}" for name, value in likeliest)
    text = " ".join(prediction.text.split())[:80]
    return f"{', '.join(prediction.labels) or '(none)'}\t{shown}\t{text}"


def _write(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text)
        return
    beside = output.with_name(f".{output.name}.part")
    try:
        beside.write_text(text + "\n", encoding="utf-8", errors="replace")
        beside.replace(output)
    finally:
        beside.unlink(missing_ok=True)
    click.echo(f"wrote {output}", err=True)
