"""``adapterhub.json``: what a version's folder says of how to load it, by names alone."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import StringConstraints, TypeAdapter, ValidationError

from adapterhub_lite.bases import Fingerprint
from adapterhub_lite.errors import CapabilityError, IntegrityError, NotFoundError, UnknownNameError
from adapterhub_lite.protocols import Interface
from adapterhub_lite.recipes.compose import MEMBER_NAME
from adapterhub_lite.specs import Head, Task

ARTIFACT_FILE = "adapterhub.json"
MEMBERS = "members"
"""The folder in which a composition has its members' files, each in one of its name."""
HAVE_MEMBERS = "compositions by switch, route, parallel and stack have (see: ahl show)"
LEARNT = "learnt"
"""The folder in which a composition that learns has files of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NeededBase:
    """The base that an adapter is loaded onto: what the recipe called it, and what it has to be."""

    ref: str
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposedMember:
    """A member of a composition: its name there, which version it is, its own parameters.

    ``digest`` is empty for a member that was no version but a folder.
    """

    name: Annotated[str, StringConstraints(pattern=MEMBER_NAME)]
    ref: str
    digest: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """Which composition a folder is, of whom, and whose head answers, where it is one's.

    ``interface`` is None where that is the one of the member that answers when nobody chooses.
    """

    name: str
    members: tuple[ComposedMember, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    head: str | None = None
    interface: Interface | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Which distribution, in which version, a part of the artifact came from."""

    kind: str
    name: str
    distribution: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactInfo:
    """The task, and the names of the plugins that load the folder; never an import path.

    ``base`` is None for a whole model, which is loaded from the folder itself. With a
    ``composition`` the members' files lie in the folder ``members``, and the other fields are those
    of the member that answers when nobody chooses. ``origins`` say where its ``parts`` came
    from, for whoever lacks them.
    """

    task: Task
    method: str
    objective: str
    loader: str = "fp32"
    loader_params: Mapping[str, Any] = field(default_factory=dict)
    head: Head = field(default_factory=Head)
    base: NeededBase | None = None
    composition: Composed | None = None
    origins: tuple[Origin, ...] = ()

    @property
    def parts(self) -> dict[str, str]:
        """What plugins it is loaded by: kind → name."""
        known = {"method": self.method, "objective": self.objective, "loader": self.loader}
        return known | ({"composition": self.composition.name} if self.composition else {})

    def origin(self, kind: str) -> Origin | None:
        """Return where the part of that kind came from; None when nobody said.

        An artifact that was made of another may still say where that one's parts came from.
        """
        wanted = (kind, self.parts.get(kind))
        return next((o for o in self.origins if (o.kind, o.name) == wanted), None)


_ADAPTER = TypeAdapter(ArtifactInfo)


def write_artifact_info(folder: Path, info: ArtifactInfo) -> None:
    """Write ``adapterhub.json``."""
    origins = tuple(o for o in info.origins if info.origin(o.kind) == o)
    text = json.dumps(asdict(replace(info, origins=origins)), indent=2) + "\n"
    (folder / ARTIFACT_FILE).write_text(text, encoding="utf-8")


def read_artifact_info(folder: Path) -> ArtifactInfo:
    """Read ``adapterhub.json`` of one model or adapter; raises as :func:`read_info`.

    A composition is refused with a CapabilityError: it has no weights of its own.
    """
    info = read_info(folder)
    if info.composition is not None:
        members = ", ".join(member.ref for member in info.composition.members)
        raise CapabilityError(
            f"this is a composition ({info.composition.name}) of several adapters, no single one",
            hint=f"ahl predict and ahl eval take it; for all else take its members: {members}",
        )
    return info


def member_folder(folder: Path, name: str) -> Path:
    """Return the folder of a composition's member; of a member's member by ``outer/inner``.

    Raises UnknownNameError, with the nearest name, or CapabilityError for no composition.
    """
    first, slash, inner = name.partition("/")
    if slash:
        return member_folder(member_folder(folder, first), inner)
    composed = read_info(folder).composition
    if composed is None:
        raise CapabilityError(
            "this is one model: it has no members to choose from",
            hint=HAVE_MEMBERS,
        )
    known = [member.name for member in composed.members]
    if name not in known:
        raise UnknownNameError("member", name, known)
    return folder / MEMBERS / name


def read_info(folder: Path) -> ArtifactInfo:
    """Read ``adapterhub.json``, which may be a composition's.

    Raises NotFoundError when the folder has none, IntegrityError when it does not parse.
    """
    file = folder / ARTIFACT_FILE
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(
            f"{folder} is not a trained version: it has no {ARTIFACT_FILE}",
            hint="give a registry reference (see: ahl list), or a folder from ahl checkout",
        ) from None
    return parse_info(content, str(file))


def parse_info(content: bytes, place: str) -> ArtifactInfo:
    """Parse what ``adapterhub.json`` holds; raises IntegrityError, which names ``place``."""
    try:
        return _ADAPTER.validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise IntegrityError(f"{place} does not parse: {key} {first['msg']}".lower()) from error
