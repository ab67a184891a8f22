"""``ahl train`` and ``ahl fewshot``: the long way and the short way to a trained version."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from adapterhub_lite.cli.common import json_option, settings, shared_options

_FIELDS: dict[str, tuple[str, ...]] = {
    "base": ("base",),
    "preset": ("preset",),
    "method": ("method", "name"),
    "objective": ("objective", "name"),
    "loader": ("loader", "name"),
    "train_file": ("data", "train"),
    "test": ("data", "test"),
    "text": ("data", "text"),
    "label": ("data", "label"),
    "multi_label": ("data", "multi_label"),
    "label_separator": ("data", "label_separator"),
    "reader": ("data", "format"),
    "encoding": ("data", "encoding"),
    "near_duplicate": ("data", "near_duplicate"),
    "shots": ("data", "shots"),
    "holdout": ("data", "holdout"),
    "seed": ("seed",),
    "seeds": ("seeds",),
    "name": ("publish",),
    "alias": ("alias",),
    "license": ("license",),
    "device": ("device",),
    "text2": ("data", "text2"),
    "validation": ("data", "validation"),
    "engine": ("objective", "engine"),
    "steps": ("objective", "steps"),
    "layers": ("method", "layers"),
}
"""Flag → where in the recipe its value goes."""

_DATA_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--test", help="Test rows, in the same form as the training rows."),
    click.option("--validation", help="Rows to choose and stop by; never trained or tested on."),
    click.option("--text", metavar="COLUMN", help="The column with the text."),
    click.option("--text2", metavar="COLUMN", help="The column with the second text of a pair."),
    click.option("--label", metavar="COLUMN", help="The column with the label."),
    click.option("--multi-label", is_flag=True, default=None, help="Rows may have many labels."),
    click.option("--label-separator", metavar="TEXT", help="What stands between labels in a cell."),
    click.option(
        "--format", "reader", metavar="READER", help="The reader, where the ending fails."
    ),
    click.option("--encoding", help="The text encoding of the files (default: utf-8)."),
    click.option("--near-duplicate", type=float, help="Overlap from which texts count as one."),
    click.option("--holdout", type=float, help="Share of training rows kept out for testing."),
)

_RUN_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--base", help="minilm, a folder, a hub id or a registry reference."),
    click.option("--seed", type=int, help="The first seed."),
    click.option("--seeds", type=int, help="Train with so many seeds; the best is published."),
    click.option("--name", help="Publish the result under this name."),
    click.option("--alias", help="Point this alias at the published version."),
    click.option("--license", help="The licence of the result (SPDX)."),
    click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE",
                 help="Set any recipe field, as in --set objective.steps=80."),
    click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]),
                 help="Where to train (default: auto)."),
)  # fmt: skip

_DRY_RUN = click.option("--dry-run", is_flag=True, help="Show what would happen; load nothing.")
_RESUME = click.option(
    "--resume",
    type=click.Path(path_type=Path, file_okay=False),
    help="Go on with an interrupted run of the same recipe: its folder.",
)

_PART_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--train", "train_file", metavar="FILE", help="Training rows."),
    click.option("--shots", type=int, help="Sample so many rows of each label."),
    click.option("--preset", help="A named choice of loader, method and objective."),
    click.option("--method", help="Which parameters learn (see: ahl methods list)."),
    click.option("--objective", help="What is optimised (see: ahl objectives list)."),
    click.option("--loader", help="The base's precision (see: ahl loaders list)."),
)


def _with(options: tuple[Callable[[Any], Any], ...]) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


@click.command(short_help="Train a recipe and publish the result.")
@click.argument("recipe", type=click.Path(path_type=Path), required=False)
@_with(_PART_OPTIONS)
@_with(_DATA_OPTIONS)
@_with(_RUN_OPTIONS)
@_DRY_RUN
@_RESUME
@json_option
@shared_options
def train(
    recipe: Path | None,
    overrides: tuple[str, ...],
    dry_run: bool,
    resume: Path | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Train RECIPE, a YAML file, and publish the result.

    Flags lie over the recipe, and --set over both. Without a RECIPE, --train and --preset are
    enough:

    \b
    ahl train --preset setfit --train tickets.csv --shots 8 --name tickets
    """
    from adapterhub_lite.recipes import read_recipe

    values = read_recipe(recipe) if recipe else {}
    _execute(_lay_over(values, flags), overrides, as_json, dry_run=dry_run, resume=resume)


@click.command(short_help="Show what a recipe would do, and load nothing.")
@click.argument("recipe", type=click.Path(path_type=Path), required=False)
@_with(_PART_OPTIONS)
@_with(_DATA_OPTIONS)
@_with(_RUN_OPTIONS)
@json_option
@shared_options
def plan(recipe: Path | None, overrides: tuple[str, ...], as_json: bool, **flags: Any) -> None:
    """Show what RECIPE would do: its parts, what learns, the memory it takes, sampled rows.

    It takes the options of ahl train, and is the same as ahl train --dry-run.
    """
    from adapterhub_lite.recipes import read_recipe

    values = read_recipe(recipe) if recipe else {}
    _execute(_lay_over(values, flags), overrides, as_json, dry_run=True)


@click.command(short_help="Train a classifier from a few examples per class.")
@click.argument("train_file", metavar="TRAIN")
@click.option("--shots", type=int, help="Sample so many rows of each label (default: all rows).")
@click.option(
    "--engine",
    type=click.Choice(["fast", "setfit"]),
    help="fast (default), or the setfit library itself.",
)
@click.option("--layers", help="How many top layers learn, or all (default: 1; setfit: all).")
@click.option("--steps", type=int, help="Most training steps.")
@_with(_DATA_OPTIONS)
@_with(_RUN_OPTIONS)
@_DRY_RUN
@json_option
@shared_options
def fewshot(overrides: tuple[str, ...], dry_run: bool, as_json: bool, **flags: Any) -> None:
    """Train a text classifier on TRAIN, a file with a few examples of each class.

    \b
    ahl fewshot tickets.csv --test more.csv --shots 8 --name tickets
    """  # fmt: skip
    if flags["engine"] == "setfit" and flags["layers"] is None:
        flags["layers"] = "all"  # as the library does
    elif flags["layers"] is not None and flags["layers"].isdigit():
        flags["layers"] = int(flags["layers"])
    _execute(_lay_over({"preset": "setfit"}, flags), overrides, as_json, dry_run=dry_run)


def _lay_over(values: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recipe's values with the given flags laid over them."""
    result = dict(values)
    for flag, value in flags.items():
        if value is None:
            continue
        *above, last = _FIELDS[flag]
        target = result
        for key in above:
            below = target.get(key)
            below = {"name": below} if isinstance(below, str) else dict(below or {})
            target[key] = below
            target = below
        target[last] = value
    return result


def _execute(
    values: Mapping[str, Any],
    overrides: tuple[str, ...],
    as_json: bool,
    *,
    dry_run: bool = False,
    resume: Path | None = None,
) -> None:
    from adapterhub_lite import api
    from adapterhub_lite.cli import train_output as output
    from adapterhub_lite.cli.plan_output import show_plan
    from adapterhub_lite.cli.progress import RunProgress, stderr_console
    from adapterhub_lite.plugins import get_catalogue
    from adapterhub_lite.training.run import run_plan

    catalogue = get_catalogue(first_party_only=settings().no_plugins)
    registry = api.open_registry(settings().home)
    plan = api.plan(values, overrides=overrides, registry=registry, catalogue=catalogue)
    if dry_run:
        show_plan(plan, catalogue, as_json)
        return
    with RunProgress(stderr_console()) as progress:
        result = run_plan(plan, catalogue, registry, [progress, _tell_how_to_resume], resume)
    output.show_result(result, as_json)


def _tell_how_to_resume(event: Mapping[str, Any]) -> None:
    """Say of a run that failed or was interrupted how it goes on, if it can."""
    if event["event"] == "failed" and "resume" in event:
        click.echo(f"to go on from the last checkpoint, add: --resume {event['resume']}", err=True)
