"""What a composition's member is, told from its folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.inference.artifact import MEMBERS, Composed, read_info
from adapterhub_lite.inference.interface import interface_of
from adapterhub_lite.inference.origins import require_parts, warn_of_versions
from adapterhub_lite.protocols import AdapterMember, Member
from adapterhub_lite.recipes import validate
from adapterhub_lite.recipes.compose import ComposeMember
from adapterhub_lite.specs import CompositionSpec

DEEPEST: Final = 4
"""How many compositions may lie within each other."""


def open_member(
    name: str, folder: Path, spec: CompositionSpec, params: Mapping[str, Any], catalogue: Catalogue
) -> Member:
    """Read what a member's files say of it.

    Raises CapabilityError for a composition that ``spec`` does not take, or that is nested too
    deep; RecipeError for parameters.
    """
    info = read_info(folder)
    require_parts(info, name, catalogue)
    warn_of_versions(info, name, catalogue)
    interface = interface_of(info, catalogue)
    what: dict[str, Any] = {
        **{key: getattr(interface, key) for key in ("task", "rows", "pairs", "head")},
        "name": name,
        "folder": folder,
        "params": validate(
            spec.member_params, params, where=f"members.{name}", beside=ComposeMember.model_fields
        ),
    }
    if info.composition is not None:
        _require_nestable(spec, name, info.composition)
        _require_shallow(folder, name, DEEPEST - 1)
        return Member(**what)
    method, objective = catalogue.method(info.method), catalogue.objective(info.objective)
    return AdapterMember(**what, method=method, objective=objective)


def _require_nestable(spec: CompositionSpec, name: str, inner: Composed) -> None:
    """Refuse a composition where each member has to be an adapter, for it has a method."""
    if spec.result != "answers" or spec.needs:
        raise CapabilityError(
            f"{name} is a composition itself ({inner.name}), and {spec.name} takes adapters alone",
            hint=f"name its members ({', '.join(one.ref for one in inner.members)}), or let each "
            "answer for itself: --as switch",
        )


def _require_shallow(folder: Path, name: str, most: int) -> None:
    composed = read_info(folder).composition
    if composed is None:
        return
    if most == 0:
        raise CapabilityError(
            f"{name} is nested too deep: at most {DEEPEST} compositions lie within each other",
            hint="name the members of an inner one in its place",
        )
    for one in composed.members:
        _require_shallow(folder / MEMBERS / one.name, name, most - 1)
