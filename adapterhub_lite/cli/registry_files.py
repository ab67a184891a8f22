"""``ahl path``, ``checkout`` and ``reindex``: the files behind the versions."""

from pathlib import Path

import click

from adapterhub_lite.cli.common import emit_json, json_option, shared_options
from adapterhub_lite.cli.registry_common import open_registry
from adapterhub_lite.wording import counted


@click.command("path")
@click.argument("ref")
@json_option
@shared_options
def path(ref: str, as_json: bool) -> None:
    """Print a verified folder with a version's files, to load from."""
    registry = open_registry()
    version = registry.resolve(ref)
    folder = registry.path(version)
    return emit_json({"ref": str(version), "path": folder}) if as_json else click.echo(folder)


@click.command("checkout")
@click.argument("ref")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--link", is_flag=True, help="Share the store's bytes; do not edit the files then.")
@json_option
@shared_options
def checkout(ref: str, directory: Path, link: bool, as_json: bool) -> None:
    """Copy a version's files into a new folder."""
    registry = open_registry()
    version = registry.resolve(ref)
    folder = registry.checkout(version, directory, link=link)
    if as_json:
        return emit_json({"ref": str(version), "path": folder})
    return click.echo(f"{version} → {folder}")


@click.command("reindex")
@json_option
@shared_options
def reindex(as_json: bool) -> None:
    """Rebuild the search index from the files."""
    registry = open_registry()
    count = registry.reindex()
    if as_json:
        return emit_json({"versions": count})
    return click.echo(f"indexed {counted(count, 'version')}")
