"""``ahl predict``: ask a trained version, from the line, a file or stdin."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapterhub_lite.cli.common import (
    base_options,
    json_option,
    loader_option,
    settings,
    shared_options,
)
from adapterhub_lite.cli.predict_input import (
    Given,
    members_named,
    read_given,
    role_and_column,
)

if TYPE_CHECKING:
    from adapterhub_lite.catalogue import Catalogue
    from adapterhub_lite.inference.predictor import Predictor
    from adapterhub_lite.protocols import Interface
    from adapterhub_lite_registry import Registry

FORMATS = ("table", "csv", "jsonl", "json")


@click.command(short_help="Ask a trained version: label, tag, answer, write, embed.")
@click.argument("ref")
@click.argument("texts", nargs=-1)
@click.option("--second", metavar="TEXT", help="The second text of a pair, for every text.")
@click.option("--context", metavar="TEXT|@FILE", help="What a question is about, for every text.")
@click.option(
    "--file", type=click.Path(path_type=Path), help="A data file, or one text a line in .txt."
)
@click.option("--text", metavar="COLUMN", help="The column with the text, in --file.")
@click.option(
    "--column",
    "columns",
    metavar="ROLE=COLUMN",
    multiple=True,
    callback=lambda _, __, values: role_and_column(values),
    help="The column of another role (text2, words, question, source, ...), in --file.",
)
@click.option("--form", "rows_form", help="How rows of --file are written, where several ways fit.")
@click.option("--reader", help="What reads --file, where its ending does not tell.")
@click.option("--encoding", default="utf-8", show_default=True, help="The encoding of the input.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write there; .csv, .jsonl and .json choose the format.",
)
@click.option("--format", "form", type=click.Choice(FORMATS), help="The format of the answer.")
@click.option(
    "--member", metavar="NAME", help="Ask this member of a composition alone; or outer/inner."
)
@click.option(
    "--member-column",
    metavar="COLUMN",
    help="The column of --file that names the member to answer each row.",
)
@click.option("--top", type=click.IntRange(min=1), help="How many probabilities to show.")
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda", "auto"]),
    default="cpu",
    show_default=True,
    help="Where to compute.",
)
@loader_option
@base_options
@json_option
@shared_options
def predict(
    ref: str,
    *,
    texts: tuple[str, ...],
    second: str | None,
    context: str | None,
    file: Path | None,
    text: str | None,
    columns: dict[str, str],
    rows_form: str | None,
    reader: str | None,
    encoding: str,
    output: Path | None,
    form: str | None,
    member: str | None,
    member_column: str | None,
    top: int | None,
    device: str,
    loader: str | None,
    base: str | None,
    any_base: bool,
    as_json: bool,
) -> None:
    """Ask the version REF (name, name@7 or name@prod) about TEXTS.

    A text is what the version was trained on: a text to label, words, a question, a prompt, a
    source. A pair, words or messages may be given as a JSON list.

    \b
    ahl predict tickets "my parcel never came"
    ahl predict tickets@prod --file messages.csv --output labelled.csv
    cat lines.txt | ahl predict tickets --format jsonl
    ahl predict entails "it rains" --second "it is wet"
    ahl predict reader "who came?" --context @report.txt
    ahl predict a-or-b --member b "my parcel never came"
    ahl predict a-or-b --file rows.jsonl --member-column adapter
    """  # fmt: skip
    from adapterhub_lite import api
    from adapterhub_lite.cli.predict_output import render, write
    from adapterhub_lite.cli.progress import counting
    from adapterhub_lite.plugins import get_catalogue

    catalogue = get_catalogue(first_party_only=settings().no_plugins)
    if output is not None and not output.parent.is_dir():
        raise click.UsageError(f"--output: there is no folder {output.parent}")
    chosen = "json" if as_json else form or _format_of(output)
    if top is not None and chosen == "csv":
        raise click.UsageError("--top: a CSV has a column for every label")
    given = Given(texts, second, context, file, text, columns, rows_form, reader, encoding)
    given.refuse_contradictions()
    if member_column is not None and (member is not None or not given.is_table):
        raise click.UsageError("--member-column is about a --file, and instead of --member")
    registry = _registry_of(ref)
    asked = read_given(given, lambda: _interface_of(ref, member, registry, catalogue), catalogue)
    members = None if member_column is None else members_named(asked, member_column)
    predictor = api.load(
        ref,
        registry=registry,
        catalogue=catalogue,
        device=device,
        base=base,
        any_base=any_base,
        loader=loader,
    )
    if member is not None:
        predictor = predictor.member(member)
    with counting("predicting", len(asked.items)) as progress:
        predictions = predictor.predict(asked.items, progress, members=members)
    classes = _classes(predictor, members or ())
    write(render(predictions, chosen, classes, top, asked.others), output)


def _classes(predictor: "Predictor", members: Sequence[str | None]) -> tuple[str, ...]:
    """Return the labels of a version, and of the members that answered."""
    asked = [predictor.member(name) for name in dict.fromkeys(members) if name is not None]
    return tuple(dict.fromkeys(label for one in (predictor, *asked) for label in one.classes))


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


def _registry_of(ref: str) -> "Registry":
    """Return the registry to look in, not yet opened: a folder needs it only to find its base."""
    from adapterhub_lite import api
    from adapterhub_lite.cli.registry_common import open_registry
    from adapterhub_lite.inference.lazy import opened_on_use
    from adapterhub_lite.inference.loading import is_path

    home = settings().home
    return opened_on_use((lambda: api.open_registry(home)) if is_path(ref) else open_registry)


def _interface_of(
    ref: str, member: str | None, registry: "Registry", catalogue: "Catalogue"
) -> "Interface":
    """Return what a version, or its member, is asked; nothing is loaded."""
    from adapterhub_lite.inference.artifact import member_folder, read_info
    from adapterhub_lite.inference.interface import interface_of
    from adapterhub_lite.inference.loading import resolve_artifact
    from adapterhub_lite.inference.origins import require_parts

    folder, name = resolve_artifact(ref, registry)
    if member is not None:
        folder = member_folder(folder, member)
    info = read_info(folder)
    require_parts(info, name, catalogue, ["objective"])
    return interface_of(info, catalogue)
