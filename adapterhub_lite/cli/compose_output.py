"""What ``ahl compose`` prints."""

from typing import TYPE_CHECKING, Any

import click

from adapterhub_lite.cli.common import emit_json

if TYPE_CHECKING:
    from adapterhub_lite.composition.plan import ComposePlan
    from adapterhub_lite.composition.run import ComposeResult
    from adapterhub_lite.protocols import Learnt


def show_plan(plan: "ComposePlan", as_json: bool) -> None:
    """Print what would be composed."""
    if as_json:
        emit_json(_facts(plan))
        return
    _print_facts(plan)
    click.echo("\nnothing was loaded or written: leave out --dry-run to compose")


def show_result(result: "ComposeResult", as_json: bool) -> None:
    """Print what was composed, how it compared, and where it is."""
    compared, version, folder = result.compared, result.version, result.folder
    learnt = result.learnt
    if as_json:
        emit_json(
            {
                **_facts(result.plan),
                "version": str(version) if version else None,
                "digest": version.digest if version else None,
                "folder": str(folder) if folder else None,
                "compared_with": compared.reference,
                "relative_difference": compared.difference,
                **({} if learnt is None else _learnt(learnt)),
            }
        )
        return
    _print_facts(result.plan)
    for line in learnt.lines if learnt else ():
        click.echo(f"learnt       {line}")
    for line in learnt.warnings if learnt else ():
        click.echo(f"warning: {line}", err=True)
    click.echo(f"compared     with {compared.reference}: {compared.difference:.1e} apart")
    click.echo(f"version      {version}" if version else f"folder       {folder}")
    click.echo(f'\nnext:  ahl predict {version or folder} "a text"')


def _learnt(learnt: "Learnt") -> dict[str, Any]:
    return {"learnt": dict(learnt.figures), "warnings": list(learnt.warnings)}


def _facts(plan: "ComposePlan") -> dict[str, Any]:
    composed = plan.composed
    examples = {name: one.told() for name, one in plan.examples.items()}
    return {
        "composition": composed.name,
        "params": dict(composed.params),
        "base": plan.base.ref,
        "task": plan.interface.task,
        "members": [
            {"name": m.name, "ref": m.ref, "digest": m.digest or None, "params": dict(m.params)}
            for m in composed.members
        ],
        "head": composed.head,
        **({"examples": examples} if examples else {}),
    }


def _print_facts(plan: "ComposePlan") -> None:
    click.echo(f"composition  {plan.spec.name}{_settings(plan.composed.params)}")
    click.echo(f"base         {plan.base.ref}")
    for one in plan.composed.members:
        click.echo(f"member       {one.name}: {one.ref}{_settings(one.params)}")
    click.echo(f"head         {_head(plan)}")
    for name, own in plan.examples.items():
        click.echo(f"examples     {name}: {len(own.inputs)} of {', '.join(own.files)}")


def _settings(params: Any) -> str:
    given = {key: value for key, value in params.items() if value not in (None, [])}
    return "".join(f", {key} {value}" for key, value in given.items())


def _head(plan: "ComposePlan") -> str:
    head = plan.members.head
    if head is None:
        return "the average of the members'"
    if plan.spec.asks_all:
        return "each member's own; all of them answer"
    if plan.spec.result == "answers":
        return f"each member's own; {head} answers unless another is chosen"
    return f"that of {head}"
