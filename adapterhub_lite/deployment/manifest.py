"""``deployment.json``: from which version a folder was made, and what it was found to answer."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from adapterhub_lite.deployment.parity import Quantity
from adapterhub_lite.errors import IntegrityError, NotFoundError

MANIFEST: Final = "deployment.json"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ToleranceRecord(_Record):
    """How far answers may be off; see :class:`~adapterhub_lite.protocols.Tolerance`."""

    difference: float
    agreement: float


class ParityRecord(_Record):
    """How far they were; see :class:`~adapterhub_lite.deployment.parity.Parity`."""

    inputs: int
    quantity: Quantity
    difference: float
    scale: float
    agreement: float | None
    tolerance: ToleranceRecord


class DeploymentManifest(_Record):
    """What a folder was made of, for what, and the SHA-256 of each of its files.

    ``digest`` is empty for a version that was a folder; ``base`` for a whole model. ``inputs``:
    whether the comparison asked the fixed texts, or what was given; these are not kept.
    """

    version: str
    digest: str
    base: str
    target: str
    plugin: str
    params: Mapping[str, Any]
    inputs: Literal["fixed", "given"]
    parity: ParityRecord
    files: Mapping[str, str]
    environment: Mapping[str, str]


def hash_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder but the manifest, by its place."""
    return {
        file.relative_to(folder).as_posix(): _sha256(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file != folder / MANIFEST
    }


def write_manifest(manifest: DeploymentManifest, folder: Path) -> None:
    """Write ``deployment.json``."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def read_manifest(folder: Path) -> DeploymentManifest:
    """Read ``deployment.json``; raises NotFoundError where there is none, IntegrityError."""
    file = folder / MANIFEST
    try:
        return DeploymentManifest.model_validate_json(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(
            f"{folder} has no {MANIFEST}", hint="give a folder that ahl deploy wrote"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise IntegrityError(f"{file} does not parse: {place}: {first['msg']}") from error


def check_files(manifest: DeploymentManifest, folder: Path) -> None:
    """Raise IntegrityError for a file that is missing, other than it was, or was not there."""
    found = hash_files(folder)
    for place in sorted(manifest.files.keys() | found.keys()):
        if place not in found:
            problem = "is missing"
        elif place not in manifest.files:
            problem = "was not deployed"
        elif found[place] != manifest.files[place]:
            problem = "is not what was deployed"
        else:
            continue
        raise IntegrityError(f"{place} of {folder} {problem}", hint="deploy the version again")


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
