"""``ahl bake``: an adapter and its base become one model."""

from typing import TYPE_CHECKING

import click

from adapterhub_lite.cli.common import (
    base_options,
    emit_json,
    json_option,
    settings,
    shared_options,
)

if TYPE_CHECKING:
    from adapterhub_lite.deployment.baking import WeightType


@click.command(short_help="Merge an adapter into its base, and publish the whole model.")
@click.argument("ref")
@click.option("--into", "name", metavar="NAME", required=True, help="Publish under this name.")
@click.option("--alias", help="Point this alias at the published version.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    help="Store the merged weights so (default: float32).",
)
@base_options
@json_option
@shared_options
def bake(
    ref: str,
    name: str,
    alias: str | None,
    dtype: "WeightType",
    base: str | None,
    any_base: bool,
    as_json: bool,
) -> None:
    """Merge the adapter REF into its base, and publish the whole model as NAME.

    The base of an adapter that was trained on a quantised one is put back into floating point
    first. The model's outputs are compared with the adapter's before it is published.

    \b
    ahl bake tickets-lora@prod --into tickets-model
    """
    from adapterhub_lite import api
    from adapterhub_lite.cli.progress import stderr_console
    from adapterhub_lite.deployment.baking import bake as bake_version
    from adapterhub_lite.plugins import get_catalogue

    catalogue = get_catalogue(first_party_only=settings().no_plugins)
    registry = api.open_registry(settings().home)
    with stderr_console().status("merging and comparing"):
        done = bake_version(
            ref, name, registry, catalogue, alias=alias, base=base, any_base=any_base, dtype=dtype
        )
    if as_json:
        emit_json(
            {
                "version": str(done.version),
                "digest": done.version.digest,
                "relative_difference": done.difference,
            }
        )
        return
    click.echo(f"version     {done.version}")
    click.echo(f"difference  {done.difference:.1e} of the outputs' size, from the adapter's")
    click.echo(f'\nnext:  ahl predict {done.version} "a text"')
