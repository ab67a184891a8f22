"""``ahl alias``, ``rollback`` and ``rm``: what changes in the registry."""

import click

from adapterhub_lite.cli.common import emit_json, json_option, print_table, shared_options
from adapterhub_lite.cli.registry_common import human_size, open_registry


@click.group("alias")
def alias() -> None:
    """Set, remove or list movable names such as prod."""


@alias.command("set")
@click.argument("ref")
@click.argument("alias_name", metavar="ALIAS")
@click.option(
    "--expect",
    metavar="N|new",
    help="Only if ALIAS points to version N now; 'new': only if it does not exist.",
)
@json_option
@shared_options
def set_alias(ref: str, alias_name: str, expect: str | None, as_json: bool) -> None:
    """Point ALIAS at a version: ahl alias set support@3 prod."""
    from adapterhub_lite_registry import ANY

    expected = ANY if expect is None else _expected(expect)
    registry = open_registry()
    version = registry.resolve(ref)
    before = registry.aliases(version.name).get(alias_name)
    registry.set_alias(version.name, alias_name, version.number, expected=expected)
    if as_json:
        return emit_json({"ref": str(version), "alias": alias_name, "before": before})
    was = f" (was {version.name}@{before})" if before not in (None, version.number) else ""
    return click.echo(f"{version.name}@{alias_name} → {version}{was}")


@alias.command("rm")
@click.argument("targets", nargs=-1, required=True, metavar="NAME@ALIAS")
@json_option
@shared_options
def remove_alias(targets: tuple[str, ...], as_json: bool) -> None:
    """Remove aliases: ahl alias rm support@prod."""
    for target in targets:
        if not target.partition("@")[2]:
            raise click.UsageError(f"{target!r} names no alias; write NAME@ALIAS")
    registry = open_registry()
    for target in targets:
        name, _, alias_name = target.partition("@")
        registry.remove_alias(name, alias_name)
    if as_json:
        return emit_json({"removed": list(targets)})
    return click.echo(f"removed {', '.join(targets)}")


@alias.command("list")
@click.argument("name")
@json_option
@shared_options
def list_aliases(name: str, as_json: bool) -> None:
    """List the aliases of a name."""
    registry = open_registry()
    registry.versions(name)
    aliases = registry.aliases(name)
    if as_json:
        return emit_json(aliases)
    if not aliases:
        return click.echo(f"{name} has no aliases")
    rows = [(alias_name, f"{name}@{number}") for alias_name, number in aliases.items()]
    return print_table(("alias", "version"), rows)


@click.command("rollback")
@click.argument("target", metavar="NAME@ALIAS")
@json_option
@shared_options
def rollback(target: str, as_json: bool) -> None:
    """Point an alias to where it pointed before its last move.

    The alias's log says where that was. Rolling back twice leaves it where it is now.

    \b
    ahl rollback support@prod
    """
    name, _, alias_name = target.partition("@")
    if not alias_name:
        raise click.UsageError(f"{target!r} names no alias; write NAME@ALIAS")
    move = open_registry().rollback(name, alias_name)
    if as_json:
        return emit_json(vars(move))
    was = f" (was {name}@{move.before})" if move.before is not None else " (was removed)"
    return click.echo(f"{target} → {name}@{move.after}{was}")


@click.command("rm")
@click.argument("ref")
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
@json_option
@shared_options
def remove(ref: str, dry_run: bool, as_json: bool) -> None:
    """Remove a version that no alias and no child needs."""
    plan = open_registry().remove(ref, dry_run=dry_run)
    if as_json:
        return emit_json(
            {
                "ref": str(plan.ref),
                "removed": not dry_run,
                "size": plan.size,
                "aliases": plan.aliases,
                "children": plan.children,
            }
        )
    if not dry_run:
        return click.echo(
            f"removed {plan.ref}; its number is not used again, its bytes go with: ahl gc"
        )
    plan.check()
    size = "its manifest is damaged" if plan.size is None else human_size(plan.size)
    return click.echo(f"would remove {plan.ref} ({size}); nothing needs it")


def _expected(text: str) -> int | None:
    if text == "new":
        return None
    if not text.isdecimal():
        raise click.BadParameter(f"{text!r} is neither a number nor 'new'", param_hint="--expect")
    return int(text)
