"""``ahl export`` and ``ahl import``: to and from other tools' folders."""

from pathlib import Path

import click

from adapterhub_lite.cli.common import emit_json, json_option, settings, shared_options


@click.command(short_help="Write a version in another tool's format.")
@click.argument("ref")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--format", "form", required=True, help="The other tool, as in --format setfit.")
@json_option
@shared_options
def export(ref: str, folder: Path, form: str, as_json: bool) -> None:
    """Write the version REF to DIR, a new or empty folder.

    What was written is checked to give the version's own probabilities.

    \b
    ahl export tickets@prod ./tickets-setfit --format setfit
    """
    from adapterhub_lite.cli.registry_common import open_registry
    from adapterhub_lite.deployment import export_version
    from adapterhub_lite.plugins import get_catalogue

    catalogue = get_catalogue(first_party_only=settings().no_plugins)
    catalogue.exporter(form)  # a misspelt format is named first, whatever else is wrong
    registry = open_registry()
    done = export_version(ref, folder, form, registry, catalogue)
    if as_json:
        emit_json(
            {
                "version": done.version,
                "folder": str(done.folder),
                "format": form,
                "about": done.summary,
            }
        )
        return
    click.echo(f"exported  {done.version}")
    click.echo(f"to        {done.folder}")
    click.echo(f"{form:<9} {done.summary}")


@click.command("import", short_help="Publish another tool's folder.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--format", "form", required=True, help="The other tool, as in --format setfit.")
@click.option("--name", required=True, help="Publish the result under this name.")
@click.option("--alias", help="Point this alias at the published version.")
@click.option(
    "--convert-pickle",
    is_flag=True,
    help="Read the numbers of a pickle in an isolated process; nothing in it is run.",
)
@json_option
@shared_options
def import_(
    folder: Path, form: str, name: str, alias: str | None, convert_pickle: bool, as_json: bool
) -> None:
    """Publish DIR, a folder that another tool wrote, as a version.

    A pickle in it is refused unless --convert-pickle is given.

    \b
    ahl import ./my-setfit-model --format setfit --name tickets --convert-pickle
    """
    from adapterhub_lite import api
    from adapterhub_lite.deployment import import_folder
    from adapterhub_lite.plugins import get_catalogue

    catalogue = get_catalogue(first_party_only=settings().no_plugins)
    registry = api.open_registry(settings().home)
    done = import_folder(
        folder, name, form, registry, catalogue, alias=alias, convert=convert_pickle
    )
    labels = done.version.manifest.signature.labels if done.version.manifest.signature else ()
    if as_json:
        emit_json(
            {
                "version": str(done.version),
                "digest": done.version.digest,
                "labels": list(labels),
                **done.details,
            }
        )
        return
    click.echo(f"imported  {done.source}")
    click.echo(f"version   {done.version}")
    click.echo(f"labels    {len(labels)}: {', '.join(labels[:10])}{' …' * (len(labels) > 10)}")
    for key, value in done.details.items():
        if isinstance(value, str) and key != "imported_from":
            click.echo(f"{key:<9} {value}")
    click.echo(f'\nnext:  ahl predict {done.version} "a text"')
