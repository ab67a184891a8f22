"""The rows that ``ahl plugins list`` prints: what is offered, commands, plugins in trouble."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from adapterhub_lite.cli.common import print_table, settings

if TYPE_CHECKING:
    from adapterhub_lite.catalogue import Catalogue

Row = dict[str, str]

COMMANDS_HOOK = "commands"
PREFIX = "adapterhub_"


def listed_rows(catalogue: "Catalogue", hook: str | None = None) -> list[Row]:
    """Return a row for each thing that plugins offer, or that one hook of theirs brings."""
    from adapterhub_lite.plugins.admitted import KINDS

    if hook is None:
        return catalogue.listing() + command_rows()
    if hook == COMMANDS_HOOK:
        return command_rows()
    kinds = [kind for kind, (name, _) in KINDS.items() if name == hook]
    if not kinds:
        return catalogue.implementers(hook)
    return [row for row in catalogue.listing() if row["kind"] in kinds]


def hook_named(given: str) -> str:
    """Return the hook that a person means: its name, its name without prefix, or a kind's name.

    Raises UnknownNameError.
    """
    from adapterhub_lite.errors import UnknownNameError
    from adapterhub_lite.hookspecs import HookSpecs
    from adapterhub_lite.plugins.admitted import KINDS

    hooks = [name for name in vars(HookSpecs) if name.startswith(PREFIX)]
    meant = {hook: hook for hook in hooks}
    meant |= {hook.removeprefix(PREFIX): hook for hook in hooks}
    meant |= {kind: hook for kind, (hook, _) in KINDS.items()}
    meant |= {"command": COMMANDS_HOOK, COMMANDS_HOOK: COMMANDS_HOOK}
    if given not in meant:
        short = [hook.removeprefix(PREFIX) for hook in hooks]
        raise UnknownNameError("hook", given, [*short, COMMANDS_HOOK])
    return meant[given]


def command_rows() -> list[Row]:
    """Return a row a third-party command; nothing of it is imported to list it."""
    from adapterhub_lite.cli.root import COMMANDS
    from adapterhub_lite.plugins import command_sources, conflict

    rows = []
    sources = command_sources(first_party_only=settings().no_plugins)
    for source in sources:
        rivals = [
            (other.distribution, other.version)
            for other in sources
            if other.name == source.name and other.barrier is None
        ]
        status, error = "ok", ""
        if source.barrier:
            status, error = source.barrier.status, source.barrier.reason
        elif source.name in COMMANDS:
            status, error = "conflict", f"hidden by the project's own command {source.name!r}"
        elif len(rivals) > 1:
            status, error = "conflict", conflict("command", source.name, rivals).message
        rows.append(
            {
                "name": source.name,
                "kind": "command",
                "distribution": source.distribution,
                "version": source.version,
                "status": status,
                "error": error,
                "note": "",
            }
        )
    return rows


def print_rows(rows: Iterable[Row]) -> None:
    """Print rows as a table: error and note in one column, as only troubled rows have one."""
    columns = ("name", "kind", "distribution", "version", "status")
    print_table(
        [*columns, "remark"],
        [[*(row[column] for column in columns), row["error"] or row["note"]] for row in rows],
    )
