"""What the compositions of adapters that act together ask of their members."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from adapterhub_lite.errors import PluginError
from adapterhub_lite.protocols import Members, TogetherMethod


def folders_of(members: Members) -> dict[str, Path]:
    """Return the members' folders by their names, in their order."""
    return {member.name: member.folder for member in members.all}


def method_of(members: Members) -> TogetherMethod:
    """Return the method that all members have; raises PluginError for one that cannot do this."""
    first = members.all[0]
    method: TogetherMethod = members.method(first)
    for name in ("check_together", "load_stack", "write_average"):
        if not hasattr(method, name):
            raise PluginError(
                f"the method {first.method.name!r} declares 'several-active' and has no {name}",
                plugin=first.method.implementation.partition(":")[0],
            )
    return method


def reasons_against(members: Members, how: Literal["stack", "average"]) -> Sequence[str]:
    """Return what the members' method has against it."""
    return method_of(members).check_together(folders_of(members), how)
