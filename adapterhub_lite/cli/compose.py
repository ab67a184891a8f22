"""``ahl compose``: several adapters on one base act together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from adapterhub_lite.cli.common import json_option, settings, shared_options


def _weights(_: click.Context, __: click.Parameter, text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of numbers like 0.7,0.3") from None


@click.command(short_help="Let adapters act together by a recipe, or by naming them.")
@click.argument("inputs", nargs=-1, required=True, metavar="RECIPE | ADAPTER ADAPTER…")
@click.option("--as", "how", metavar="NAME", help="How: average, stack, switch, route, …")
@click.option(
    "--weights", callback=_weights, metavar="W,W,…", help="How much each of the ADAPTERs counts."
)
@click.option("--head", metavar="ADAPTER", help="Whose head answers, or answers by default.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the result to this folder.")
@click.option("--name", help="Publish the result under this name.")
@click.option("--alias", help="Point this alias at the published version.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a parameter of the composition, or any recipe field: normalise=false.",
)
@click.option("--dry-run", is_flag=True, help="Show what would happen; load nothing.")
@json_option
@shared_options
def compose(
    inputs: tuple[str, ...],
    how: str | None,
    weights: list[float] | None,
    head: str | None,
    out: Path | None,
    name: str | None,
    alias: str | None,
    overrides: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Compose by RECIPE, a YAML file, or the ADAPTERs named; all are on one base.

    The result is compared with what its members do alone before it is published.

    \b
    ahl compose recipe.yml --name both
    ahl compose tickets@1 mails@2 --as average --weights 0.7,0.3 --name both
    ahl compose tickets@1 mails@2 --as switch --name either
    """  # fmt: skip
    from adapterhub_lite import api
    from adapterhub_lite.cli import compose_output as output
    from adapterhub_lite.cli.progress import stderr_console
    from adapterhub_lite.plugins import get_catalogue

    values = _recipe(inputs, how, weights)
    given = {"head": head, "publish": name, "alias": alias}
    values |= {key: value for key, value in given.items() if value is not None}
    catalogue = get_catalogue(first_party_only=settings().no_plugins)
    registry = api.open_registry(settings().home)
    plan = api.plan_compose(values, overrides=overrides, registry=registry, catalogue=catalogue)
    if dry_run:
        output.show_plan(plan, as_json)
        return
    with stderr_console().status("composing and comparing"):
        result = api.run_compose(plan, registry=registry, catalogue=catalogue, out=out)
    output.show_result(result, as_json)


def _recipe(
    inputs: tuple[str, ...], how: str | None, weights: list[float] | None
) -> dict[str, Any]:
    """Return the recipe that a file holds, or that names stand for."""
    if len(inputs) == 1 and inputs[0].endswith((".yml", ".yaml", ".json")):
        from adapterhub_lite.recipes import read_recipe

        if weights is not None:
            raise click.UsageError("--weights: a recipe has them itself, as members' weight")
        values = read_recipe(Path(inputs[0]))
        return values if how is None else {**values, "composition": _renamed(values, how)}
    if how is None:
        raise click.UsageError("say how: --as average, stack, switch, …")
    if weights is None:
        members: list[Any] = list(inputs)
    elif len(weights) != len(inputs):
        raise click.UsageError(f"--weights: {len(weights)} for {len(inputs)} adapters")
    else:
        pairs = zip(inputs, weights, strict=True)
        members = [{"ref": ref, "weight": weight} for ref, weight in pairs]
    return {"members": members, "composition": {"name": how}}


def _renamed(values: Mapping[str, Any], how: str) -> dict[str, Any]:
    part = values.get("composition")
    return {**(part if isinstance(part, Mapping) else {}), "name": how}
