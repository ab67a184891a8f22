"""From a reference to a predictor."""

from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import NotFoundError
from adapterhub_lite.inference.artifact import read_artifact_info
from adapterhub_lite.inference.predictor import Predictor

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry


def load_predictor(
    ref: str, registry: "Registry", catalogue: Catalogue, *, device: str = "cpu"
) -> Predictor:
    """Load a registry version, every byte verified, or a folder.

    A name in the registry wins over a folder of the same name; ``./name`` is always the folder.
    """
    folder, name = resolve_artifact(ref, registry)
    info = read_artifact_info(folder)
    method = catalogue.implementation(catalogue.method(info.method))
    objective = catalogue.implementation(catalogue.objective(info.objective))
    return Predictor(objective.load(method.load(folder, device), folder), name)


def is_path(ref: str) -> bool:
    """Say whether a reference is a path; a name in the registry has none of its marks."""
    return "/" in ref or ref.startswith((".", "~"))


def resolve_artifact(ref: str, registry: "Registry") -> tuple[Path, str]:
    """Return the folder that a reference names, and its full name.

    Raises InvalidNameError, NotFoundError or IntegrityError.
    """
    if is_path(ref):
        folder = Path(ref).expanduser()
        if not folder.is_dir():
            raise NotFoundError(
                f"there is no folder {ref}", hint="give a folder, or a reference (see: ahl list)"
            )
        return folder.resolve(), ref
    version = registry.resolve(ref)
    return registry.path(version), str(version)
