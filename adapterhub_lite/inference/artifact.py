"""``adapterhub.json``: what a version's folder says of how to load it, by names alone."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from adapterhub_lite.errors import IntegrityError, NotFoundError

ARTIFACT_FILE = "adapterhub.json"


@dataclass(frozen=True, slots=True)
class ArtifactInfo:
    """The task, and the names of the plugins that load the folder; never an import path."""

    task: str
    method: str
    objective: str


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
        values = json.loads(file.read_text(encoding="utf-8"))
        return ArtifactInfo(
            task=str(values["task"]),
            method=str(values["method"]),
            objective=str(values["objective"]),
        )
    except FileNotFoundError:
        raise NotFoundError(
            f"{folder} is not a trained version: it has no {ARTIFACT_FILE}",
            hint="give a registry reference (see: ahl list), or a folder from ahl checkout",
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{file} does not parse: {error}") from error
