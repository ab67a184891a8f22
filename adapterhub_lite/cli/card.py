"""``ahl card``: the model card of a version."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapterhub_lite.cli.common import emit_json, json_option, shared_options
from adapterhub_lite.cli.registry_common import open_registry, write_new

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry, Version

OWN_CARD = "README.md"
LARGEST = 1 << 20


@click.command(short_help="Print a version's model card, with the metadata of the hub.")
@click.argument("ref")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it to a file.")
@json_option
@shared_options
def card(ref: str, out: Path | None, as_json: bool) -> None:
    """Print the model card of REF: what it is for, how it scored, how it was made and is used.

    It is made from what the registry knows now, with the evaluations that came after publishing.
    The card that a version has among its files stays as it is.

    \b
    ahl card tickets@prod
    ahl card tickets@prod --out README.md
    """
    from adapterhub_lite.reports import version_card

    registry = open_registry()
    version = registry.resolve(ref)
    records, problems = registry.evaluations.of(version)
    for problem in problems:
        click.echo(f"warning: {problem}", err=True)
    above = registry.lineage(f"{version.name}@{version.digest}").parents
    text = version_card(
        version.manifest,
        version.number,
        library=_library(registry, version),
        parents={node.digest: node.ref for node in above if node.ref is not None},
        evaluations=records,
    )
    if out is not None:
        write_new(out, text)
    if as_json:
        emit_json({"ref": str(version), "digest": version.digest, "out": out, "card": text})
    elif out is not None:
        click.echo(f"{version} → {out}")
    else:
        click.echo(text, nl=False)


def _library(registry: "Registry", version: "Version") -> str | None:
    """Return who loads the files, as the version's own card says."""
    from adapterhub_lite.reports.metadata import read_front_matter

    entry = version.manifest.file(OWN_CARD)
    if entry is None or entry.size > LARGEST:
        return None
    told = registry.read_file(version, OWN_CARD).decode("utf-8", errors="replace")
    library = read_front_matter(told).get("library_name")
    return library if isinstance(library, str) else None
