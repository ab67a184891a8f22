"""``ahl merge``: several models or adapters become one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from adapterhub_lite.cli.common import (
    emit_json,
    input_options,
    json_option,
    settings,
    shared_options,
)


@click.command(short_help="Merge models or adapters by a recipe, or by naming them.")
@click.argument("inputs", nargs=-1, required=True, metavar="RECIPE | MODEL MODEL…")
@click.option("--strategy", help="How models become one (see: ahl strategies list).")
@click.option("--base", help="The model that all were trained from.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the result to this folder.")
@click.option("--name", help="Publish the result under this name.")
@click.option("--alias", help="Point this alias at the published version.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    help="In which floats the result is written (default: the base's).",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a parameter of the strategy, or any recipe field: density=0.5, seed=3.",
)
@click.option(
    "--threads", type=click.IntRange(1), help="How many tensors at once (default: one a core)."
)
@click.option("--device", default="cpu", help="cpu, or cuda for the same kernels on a GPU.")
@click.option(
    "--search",
    is_flag=True,
    help="First find the parameters that the recipe's search "
    "section names, by the score on its validation rows.",
)
@click.option("--trials", type=click.IntRange(1), help="How many merges a search tries.")
@input_options
@click.option("--dry-run", is_flag=True, help="Show what would happen; merge nothing.")
@json_option
@shared_options
def merge(
    inputs: tuple[str, ...],
    strategy: str | None,
    base: str | None,
    out: Path | None,
    name: str | None,
    alias: str | None,
    dtype: str | None,
    overrides: tuple[str, ...],
    threads: int | None,
    device: str,
    search: bool,
    trials: int | None,
    any_base: bool,
    convert_pickle: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Merge by RECIPE, a YAML file (ours, or mergekit's as it is), or the MODELs named.

    \b
    ahl merge recipe.yml --name legal-medical
    ahl merge legal@3 medical@1 --strategy ties --set density=0.5 --name legal-medical
    """  # fmt: skip
    from adapterhub_lite import api
    from adapterhub_lite.cli import merge_output as output
    from adapterhub_lite.plugins import get_catalogue

    values = _recipe(inputs, strategy)
    given = {"base": base, "publish": name, "alias": alias}
    values |= {key: value for key, value in given.items() if value is not None}
    if dtype is not None:
        values["output"] = {**values.get("output", {}), "dtype": dtype}
    catalogue = get_catalogue(first_party_only=settings().no_plugins)
    registry = api.open_registry(settings().home)
    planned: dict[str, Any] = {
        "registry": registry,
        "catalogue": catalogue,
        "threads": threads,
        "any_base": any_base,
        "convert_pickle": convert_pickle,
    }
    if search:
        values, overrides = _searched(values, overrides, trials, planned), ()
    plan = api.plan_merge(values, overrides=overrides, device=device, **planned)
    if dry_run:
        output.show_plan(plan, as_json)
        return
    output.tell_notices(plan)
    with output.progress_bar() as progress:
        result = api.run_merge(
            plan, registry=registry, catalogue=catalogue, out=out, progress=progress
        )
    if as_json:
        emit_json(output.as_json(result))
    else:
        output.show_result(result)


def _searched(
    values: Mapping[str, Any],
    overrides: tuple[str, ...],
    trials: int | None,
    planned: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the recipe with the best values that a search found, and tell of them."""
    from adapterhub_lite import api
    from adapterhub_lite.cli import merge_output as output

    if trials is not None:
        overrides = (*overrides, f"search.trials={trials}")
    with output.search_bar() as progress:
        found = api.search_merge(values, overrides=overrides, progress=progress, **planned)
    output.tell_search(found)
    return dict(found.recipe)


def _recipe(inputs: tuple[str, ...], strategy: str | None) -> dict[str, Any]:
    """Return the recipe that a file holds, or that names and a strategy stand for."""
    if len(inputs) == 1 and inputs[0].endswith((".yml", ".yaml", ".json")):
        from adapterhub_lite.merging.reading import read_values

        values = read_values(Path(inputs[0]), ())
        return values if strategy is None else {**values, "strategy": _renamed(values, strategy)}
    if strategy is None:
        raise click.UsageError(
            "name a strategy: --strategy linear, ties, … (see: ahl strategies list)"
        )
    return {"models": list(inputs), "strategy": {"name": strategy}}


def _renamed(values: Mapping[str, Any], strategy: str) -> dict[str, Any]:
    part = values.get("strategy")
    return {**(part if isinstance(part, Mapping) else {}), "name": strategy}
