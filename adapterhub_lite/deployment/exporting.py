"""Write a version in another tool's format."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.deployment.fresh import fresh_folder
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.inference.artifact import read_artifact_info
from adapterhub_lite.inference.loading import find_base, resolve_artifact
from adapterhub_lite.inference.origins import require_parts

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, from which version, and what the format is, in its plugin's words."""

    version: str
    folder: Path
    form: str
    summary: str


def export_version(
    ref: str,
    destination: Path,
    form: str,
    registry: "Registry",
    catalogue: Catalogue,
    *,
    base: str | None = None,
) -> Exported:
    """Write the version ``ref`` to the new or empty folder ``destination``, whole or not at all.

    ``base`` says where an adapter's base lies now, and is what the folder will name as its base.
    Raises UnknownNameError for a format that no plugin offers, DataError for an occupied folder,
    NotFoundError, BaseModelError, CapabilityError when the format cannot hold the version, and
    SelfTestError when what was written does not answer as the version does.
    """
    spec = catalogue.exporter(form)
    folder, version = resolve_artifact(ref, registry)
    info = read_artifact_info(folder)
    require_parts(info, version, catalogue)
    if info.task not in spec.tasks:
        tasks = ", ".join(sorted(spec.tasks))
        raise CapabilityError(
            f"{form!r} cannot hold {version}, whose task is {info.task!r}",
            hint=f"it holds: {tasks}",
        )
    found = find_base(folder, info, registry, catalogue, base=base) if info.base else None
    with fresh_folder(destination) as fresh:
        catalogue.implementation(spec).export(folder, fresh, found)
    return Exported(version, destination.expanduser().absolute(), form, spec.summary)
