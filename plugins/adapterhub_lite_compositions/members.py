"""What the compositions of adapters that act together ask of their members."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from adapterhub_lite.errors import PluginError
from adapterhub_lite.protocols import AdapterMembers, TogetherMethod
from adapterhub_lite.specs import Capability


def folders_of(members: AdapterMembers) -> dict[str, Path]:
    """Return the members' folders by their names, in their order."""
    return {member.name: member.folder for member in members.all}


def method_of(members: AdapterMembers) -> TogetherMethod:
    """Return the method that all members have; raises PluginError for one that cannot do this."""
    names = ("check_together", "load_stack", "write_average")
    method: TogetherMethod = offering(members, "several-active", names)
    return method


def offering(members: AdapterMembers, capability: Capability, names: Sequence[str]) -> Any:
    """Return the method that all members have, which declares a capability.

    Raises PluginError for one that has not what it declares.
    """
    first = members.all[0]
    method = members.method(first)
    for name in names:
        if not hasattr(method, name):
            raise PluginError(
                f"the method {first.method.name!r} declares {capability!r} and has no {name}",
                plugin=first.method.implementation.partition(":")[0],
            )
    return method


def reasons_against(members: AdapterMembers, how: Literal["stack", "average"]) -> Sequence[str]:
    """Return what the members' method has against it."""
    return method_of(members).check_together(folders_of(members), how)
