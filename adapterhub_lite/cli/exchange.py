"""``ahl export`` and ``ahl import``: to and from other tools' folders."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from adapterhub_lite.cli.common import emit_json, json_option, settings, shared_options


@click.command(short_help="Write a version in another tool's format.")
@click.argument("ref")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--format", "form", required=True, help="hf, peft, setfit, onnx or another's.")
@click.option("--set", "params", multiple=True, metavar="KEY=VALUE",
              help="Set a parameter of the format, as in --set dtype=q8_0.")  # fmt: skip
@click.option("--base", help="Where an adapter's base lies, if not where it was.")
@json_option
@shared_options
def export(
    ref: str, folder: Path, form: str, params: tuple[str, ...], base: str | None, as_json: bool
) -> None:
    """Write the version REF to DIR, a new or empty folder, and nothing but the other tool's files.

    What was written is checked to give the version's own answers.

    \b
    ahl export tickets-lora ./tickets-peft --format peft
    ahl export tickets@prod ./tickets-setfit --format setfit
    """
    from adapterhub_lite.cli.registry_common import open_registry
    from adapterhub_lite.deployment import export_version
    from adapterhub_lite.plugins import get_catalogue
    from adapterhub_lite.recipes import apply_overrides

    catalogue = get_catalogue(first_party_only=settings().no_plugins)
    catalogue.exporter(form)  # a misspelt format is named first, whatever else is wrong
    registry = open_registry()
    chosen = apply_overrides({}, params)
    done = export_version(ref, folder, form, registry, catalogue, params=chosen, base=base)
    if as_json:
        emit_json(
            {
                "version": done.version,
                "folder": str(done.folder),
                "format": form,
                "about": done.summary,
                "parity": done.parity and done.parity.record(),
            }
        )
        return
    click.echo(f"exported  {done.version}")
    click.echo(f"to        {done.folder}")
    click.echo(f"{form:<9} {done.summary}")
    if done.parity:
        click.echo(f"parity    {done.parity.summary()}")


@click.command("import", short_help="Publish another tool's folder or archive.")
@click.argument("source", metavar="SOURCE", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    help="hf, peft, adapters, setfit or a plugin's; left out, SOURCE's files tell.",
)
@click.option("--name", required=True, help="Publish the result under this name.")
@click.option("--alias", help="Point this alias at the published version.")
@click.option("--base", help="The base an adapter was trained on, if SOURCE does not name it.")
@click.option("--labels", metavar="A,B,C", help="A head's labels in their order, or @FILE of them.")
@click.option("--multi-label", is_flag=True, help="A text may have several of the labels.")
@click.option("--objective", help="What the model was trained for (see: ahl objectives list).")
@click.option("--set", "params", multiple=True, metavar="KEY=VALUE",
              help="Set a parameter of the objective, as in --set max_length=128.")  # fmt: skip
@click.option(
    "--convert-pickle",
    is_flag=True,
    help="Read the numbers of a pickle in an isolated process; nothing in it is run.",
)
@json_option
@shared_options
def import_(
    source: Path,
    form: str | None,
    name: str,
    alias: str | None,
    base: str | None,
    labels: str | None,
    multi_label: bool,
    objective: str | None,
    params: tuple[str, ...],
    convert_pickle: bool,
    as_json: bool,
) -> None:
    """Publish SOURCE, which another tool wrote, as a version: a folder, .zip, .tar or .tar.gz.

    Nothing in it is believed or run; a pickle is refused unless --convert-pickle is given.

    \b
    ahl import ./adapter --name tickets --labels billing,delivery,other
    ahl import ./merged.tar.gz --name writer
    ahl import ./my-setfit-model --format setfit --name tickets --convert-pickle
    """
    from adapterhub_lite import api
    from adapterhub_lite.deployment import ImportChoices, import_folder
    from adapterhub_lite.plugins import get_catalogue
    from adapterhub_lite.recipes import apply_overrides

    catalogue = get_catalogue(first_party_only=settings().no_plugins)
    choices = ImportChoices(
        convert=convert_pickle,
        base=base,
        labels=_labels(labels),
        multi_label=multi_label,
        objective=objective,
        params=apply_overrides({}, params),
    )
    registry = api.open_registry(settings().home)
    done = import_folder(source, name, form, registry, catalogue, alias=alias, choices=choices)
    manifest = done.version.manifest
    found = manifest.signature.labels if manifest.signature else ()
    if as_json:
        emit_json(
            {
                "version": str(done.version),
                "digest": done.version.digest,
                "format": done.form,
                "labels": list(found),
                **done.details,
            }
        )
        return
    click.echo(f"imported  {done.source}")
    click.echo(f"format    {done.form}")
    click.echo(f"version   {done.version}")
    click.echo(f"task      {manifest.task}")
    if manifest.kind == "adapter" and manifest.base:
        click.echo(f"base      {manifest.base.ref}")
    _show_labels(found)
    _show_details(done.details)
    click.echo(f'\nnext:  ahl predict {done.version} "a text"')


def _labels(given: str | None) -> tuple[str, ...]:
    """Return labels between commas, or the lines of the file behind an @."""
    if given is None:
        return ()
    if not given.startswith("@"):
        return tuple(label.strip() for label in given.split(","))
    from adapterhub_lite.errors import DataError

    file = Path(given[1:]).expanduser()
    try:
        return tuple(file.read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError) as error:
        raise DataError(f"the labels cannot be read: {error}", path=str(file)) from error


def _show_labels(labels: Sequence[str]) -> None:
    if labels:
        more = " …" * (len(labels) > 10)
        click.echo(f"labels    {len(labels)}: {', '.join(labels[:10])}{more}")


def _show_details(details: Mapping[str, Any]) -> None:
    for key, value in details.items():
        if isinstance(value, str) and key != "imported_from":
            click.echo(f"{key:<9} {value}")
