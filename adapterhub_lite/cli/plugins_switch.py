"""``ahl plugins disable`` and ``enable``."""

import click

from adapterhub_lite.cli.common import emit_json, json_option, shared_options


@click.command(short_help="Keep a plugin from loading.")
@click.argument("name")
@json_option
@shared_options
def disable(name: str, as_json: bool) -> None:
    """Keep a plugin from loading until it is enabled again.

    NAME is a distribution, for all that it brings, an entry point, or DISTRIBUTION:ENTRY-POINT.
    """
    from adapterhub_lite.plugins import switching

    plugin = switching.disable(name)
    if as_json:
        return emit_json({"plugin": plugin, "disabled": True})
    return click.echo(f"{plugin} is disabled; to load it again: ahl plugins enable {plugin}")


@click.command(short_help="Let a disabled plugin load again.")
@click.argument("name")
@json_option
@shared_options
def enable(name: str, as_json: bool) -> None:
    """Let a plugin that was disabled load again.

    NAME is a distribution, an entry point, or DISTRIBUTION:ENTRY-POINT.
    """
    from adapterhub_lite.plugins import switching

    plugin, was_disabled = switching.enable(name)
    if as_json:
        return emit_json({"plugin": plugin, "disabled": False})
    return click.echo(f"{plugin} is enabled" if was_disabled else f"{plugin} was not disabled")
