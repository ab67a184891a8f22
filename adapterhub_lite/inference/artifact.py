"""``adapterhub.json``: what a version's folder says of how to load it, by names alone."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from adapterhub_lite.bases import Fingerprint
from adapterhub_lite.errors import IntegrityError, NotFoundError
from adapterhub_lite.specs import Head, Task

ARTIFACT_FILE = "adapterhub.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class NeededBase:
    """The base that an adapter is loaded onto: what the recipe called it, and what it has to be."""

    ref: str
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactInfo:
    """The task, and the names of the plugins that load the folder; never an import path.

    ``base`` is None for a whole model, which is loaded from the folder itself.
    """

    task: Task
    method: str
    objective: str
    loader: str = "fp32"
    loader_params: Mapping[str, Any] = field(default_factory=dict)
    head: Head = field(default_factory=Head)
    base: NeededBase | None = None


_ADAPTER = TypeAdapter(ArtifactInfo)


def write_artifact_info(folder: Path, info: ArtifactInfo) -> None:
    """Write ``adapterhub.json``."""
    text = json.dumps(asdict(info), indent=2) + "\n"
    (folder / ARTIFACT_FILE).write_text(text, encoding="utf-8")


def read_artifact_info(folder: Path) -> ArtifactInfo:
    """Read ``adapterhub.json``.

    Raises NotFoundError when the folder has none, IntegrityError when it does not parse.
    """
    file = folder / ARTIFACT_FILE
    try:
        return _ADAPTER.validate_json(file.read_bytes())
    except FileNotFoundError:
        raise NotFoundError(
            f"{folder} is not a trained version: it has no {ARTIFACT_FILE}",
            hint="give a registry reference (see: ahl list), or a folder from ahl checkout",
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise IntegrityError(f"{file} does not parse: {place} {first['msg']}".lower()) from error
