"""What ``ahl merge`` prints."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from adapterhub_lite.cli.common import emit_json

if TYPE_CHECKING:
    from adapterhub_lite.merging.adapters.plan import AdapterPlan
    from adapterhub_lite.merging.plan import MergePlan
    from adapterhub_lite.merging.results import MergeResult
    from adapterhub_lite.merging.search import Found
    from adapterhub_lite.recipes.merge import MergeOutput


def show_plan(plan: "MergePlan | AdapterPlan", as_json: bool) -> None:
    """Print what a merge will do."""
    from adapterhub_lite.merging.adapters.plan import AdapterPlan

    if isinstance(plan, AdapterPlan):
        _show_adapters(plan, as_json)
    else:
        _show_models(plan, as_json)


def _show_adapters(plan: "AdapterPlan", as_json: bool) -> None:
    """Print what a merge of adapters will do: it is over in seconds, so costs are left out."""
    spec = plan.applied.spec
    told = {
        "strategies": [spec.name],
        "formulas": {spec.name: spec.formula},
        "base": plan.base.ref,
        "models": [adapter.label for adapter in plan.adapters],
        "modules": len(plan.params),
        "rank": plan.recipe.output.rank,
        "energy": plan.recipe.output.energy,
        "notices": list(plan.notices),
    }
    if as_json:
        emit_json(told)
        return
    click.echo(f"strategy    {spec.name}: {spec.formula}")
    click.echo(f"base        {plan.base.ref}")
    for adapter in plan.adapters:
        click.echo(f"adapter     {adapter.label}")
    click.echo(f"modules     {len(plan.params):,}")
    click.echo(f"rank        {_rank(plan.recipe.output) or 'as the strategy chooses'}")
    tell_notices(plan)
    click.echo("\nnothing was written: leave out --dry-run to merge")


def _rank(output: "MergeOutput") -> str:
    """Return the rank that a recipe asks for, or the energy; empty for neither."""
    if output.energy is not None:
        return f"the least that keeps {output.energy:.0%} of a change's squared norm"
    return str(output.rank or "")


def _show_models(plan: "MergePlan", as_json: bool) -> None:
    """Print models, strategy, what is read and written, memory, time."""
    from adapterhub_lite.merging.estimate import estimate

    cost = estimate(plan)
    models = [ref for ref, model in plan.opened.items() if model is not plan.base]
    told = {
        "strategies": [spec.name for spec in _specs(plan)],
        "formulas": {spec.name: spec.formula for spec in _specs(plan)},
        "base": plan.base.ref if plan.base else None,
        "models": models,
        "tensors": len(plan.shapes),
        "parameters": sum(shape.size for shape in plan.shapes.values()),
        "bytes_read": cost.read,
        "bytes_written": cost.written,
        "memory_bytes": cost.memory,
        "seconds": cost.seconds,
        "threads": plan.settings.threads,
        "notices": list(plan.notices),
    }
    if plan.lora is not None:
        output = plan.recipe.output
        told |= {"modules": len(plan.lora.paired.layers), "rest": output.rest}
        told |= {"rank": output.rank, "energy": output.energy}
    if as_json:
        emit_json(told)
        return
    for spec in _specs(plan):
        click.echo(f"strategy    {spec.name}: {spec.formula}")
    if plan.base:
        click.echo(f"base        {plan.base.ref}")
    for ref in models:
        click.echo(f"model       {ref}")
    click.echo(f"tensors     {told['tensors']:,} ({told['parameters']:,} parameters)")
    click.echo(f"reads       {size(cost.read)}")
    if plan.lora is not None:
        click.echo(f"adapter     on {told['modules']} linear layers, the rest: {told['rest']}")
        click.echo(f"rank        {_rank(plan.recipe.output)}")
    most = "at most " if plan.lora else ""
    click.echo(f"writes      {most}{size(cost.written)}")
    click.echo(f"memory      about {size(cost.memory)} beside the file cache")
    click.echo(f"time        about {duration(cost.seconds)} with {plan.settings.threads} threads")
    tell_notices(plan)
    click.echo("\nnothing was written: leave out --dry-run to merge")


def tell_notices(plan: "MergePlan | AdapterPlan") -> None:
    """Say on stderr what was decided by rule."""
    for notice in plan.notices:
        click.echo(f"note: {notice}", err=True)


@contextmanager
def progress_bar() -> Iterator[Callable[[int, int], None]]:
    """Show a bar of bytes on a terminal's stderr."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    from adapterhub_lite.cli.progress import stderr_console

    console = stderr_console()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("merging", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def search_bar() -> Iterator[Callable[[int, int, str], None]]:
    """Show a bar of trials with the best score on a terminal's stderr."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    from adapterhub_lite.cli.progress import stderr_console

    console = stderr_console()
    bar = Progress(
        TextColumn("searching"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("best {task.fields[best]}"),
        Remaining(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("searching", total=None, best="…")
        yield lambda done, total, best: bar.update(task, completed=done, total=total, best=best)


def tell_search(found: "Found") -> None:
    """Write the picture of a search, and say on stderr what was found."""
    from adapterhub_lite.reports.sweep import sweep_png

    picture = found.folder / "sweep.png"
    picture.write_bytes(
        sweep_png(
            [trial.score for trial in found.trials],
            [trial.values for trial in found.trials],
            found.metric,
            greater_is_better=found.greater_is_better,
        )
    )
    values = ", ".join(f"{path} {value:.4g}" for path, value in found.best.values.items())
    click.echo(
        f"search: trial {found.best.number} of {len(found.trials)} is best, "
        f"{found.metric} {found.best.score:.4f} on the validation rows: {values}",
        err=True,
    )
    click.echo(f"search: {picture}", err=True)


def as_json(result: "MergeResult") -> dict[str, Any]:
    """Return a result as a script reads it."""
    told: dict[str, Any] = {
        "version": str(result.version) if result.version else None,
        "digest": result.version.digest if result.version else None,
        "folder": str(result.folder) if result.folder else None,
        "tensors": result.tensors,
        "bytes": result.written,
        "resumed": result.resumed,
        "notices": list(result.notices),
    }
    if result.modules:
        told["modules"] = {
            module: {"rank": part.factors.rank, "energy": part.energy, "error": part.error}
            for module, part in result.modules.items()
        }
    return told


def show_result(result: "MergeResult") -> None:
    """Print where the result is, and what to do next."""
    if result.resumed:
        click.echo(f"resumed     {result.resumed:,} tensors were merged already")
    click.echo(f"merged      {result.tensors:,} tensors, {size(result.written)}")
    if result.modules:
        _show_approximation([part.error for part in result.modules.values()])
    for notice in result.notices:
        if notice not in result.plan.notices:
            click.echo(f"note: {notice}", err=True)
    if result.version is not None:
        click.echo(f"version     {result.version}")
        click.echo(f"\nnext:  ahl show {result.version}")
    if result.folder is not None:
        click.echo(f"folder      {result.folder}")


def _show_approximation(errors: Sequence[float]) -> None:
    mean = sum(errors) / len(errors)
    click.echo(f"error       {mean:.1e} of a matrix's change on average, {max(errors):.1e} at most")


def size(number: int) -> str:
    """Return bytes as a person reads them."""
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number = number / 1000  # type: ignore[assignment]
    return f"{number:,.2f} GB"


def duration(seconds: float) -> str:
    """Return seconds as a person reads them."""
    if seconds < 90:
        return f"{max(seconds, 0.1):.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _specs(plan: "MergePlan") -> Any:
    from adapterhub_lite.merging.publishing import specs_of

    return specs_of(plan)
