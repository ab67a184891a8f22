"""How what is wrong with a plugin is put into words."""

from collections.abc import Iterable

from adapterhub_lite.errors import PluginConflictError


def conflict(kind: str, name: str, owners: Iterable[tuple[str, str]]) -> PluginConflictError:
    """Return the error for a name that several distributions offer."""
    listed = sorted(owners)
    other = next((d for d, _ in reversed(listed) if d != "adapterhub-lite"), listed[-1][0])
    return PluginConflictError(
        f"{kind} {name!r} is offered by " + " and ".join(f"{d} {v}" for d, v in listed),
        plugin=listed[0][0],
        hint=f"keep one of them: ahl plugins disable {other}, or ahl plugins uninstall {other}, "
        "or list those to load in ADAPTERHUB_LITE_PLUGINS",
    )


def one_line(error: BaseException) -> str:
    """Return an exception as one line: its type and the first line of its message."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
