"""my-plugin: a command of ``ahl``: here one that counts versions by their method."""

from collections import Counter

import click

from adapterhub_lite.cli.common import emit_json, json_option, print_table, settings, shared_options


@click.command("my-command", short_help="Count versions by their method.")
@json_option
@shared_options
def command(as_json: bool) -> None:
    """Count the registry's versions by the method that made them."""
    from adapterhub_lite import open_registry

    entries = open_registry(settings().home).search()
    counts = Counter(entry.method or "none" for entry in entries)
    if as_json:
        emit_json(dict(counts))
    else:
        print_table(("method", "versions"), sorted(counts.items()))
