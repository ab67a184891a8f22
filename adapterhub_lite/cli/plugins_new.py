"""``ahl plugins new``: begin a plugin."""

from pathlib import Path

import click

from adapterhub_lite.cli.common import emit_json, json_option, shared_options


@click.command("new", short_help="Write a new plugin: a distribution that passes its own tests.")
@click.argument("name")
@click.option("--kind", required=True, help="What it is to offer: method, merge, objective, …")
@click.option("--out", type=click.Path(path_type=Path), help="The folder (default: ./NAME).")
@json_option
@shared_options
def new(name: str, kind: str, out: Path | None, as_json: bool) -> None:
    """Write a complete distribution called NAME: one module, its test, pyproject, README, CI.

    It works as it stands, and passes the conformance kit; change it step by step.

    ahl plugins new bias-tuning --kind method
    """
    from adapterhub_lite.scaffold import write_plugin

    folder = out or Path(name)
    written = write_plugin(name, kind, folder)
    if as_json:
        return emit_json({"folder": str(folder), "files": [str(file) for file in written]})
    for file in written:
        click.echo(file)
    click.echo(f"\nnext:\n  ahl plugins install -e {folder}\n  ahl plugins check {name}")
    return None
