"""Deploy a version: write it for a target, compare it with the version, and state both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.deployment.exporting import Source, find_source, write
from adapterhub_lite.deployment.fresh import fresh_folder
from adapterhub_lite.deployment.manifest import (
    DeploymentManifest,
    ParityRecord,
    check_files,
    hash_files,
    read_manifest,
    write_manifest,
)
from adapterhub_lite.deployment.parity import Parity, require_parity
from adapterhub_lite.errors import CapabilityError, IntegrityError
from adapterhub_lite.inference.loading import is_path
from adapterhub_lite.recipes import validate
from adapterhub_lite.specs import ExporterSpec
from adapterhub_lite.training.publish import environment

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What was deployed: its folder, how far its answers are from the version's, how it is used."""

    version: str
    target: str
    folder: Path
    parity: Parity
    usage: str
    files: int


def deploy_version(
    ref: str,
    destination: Path,
    target: str,
    registry: "Registry",
    catalogue: Catalogue,
    *,
    params: Mapping[str, Any] | None = None,
    inputs: Sequence[Any] | None = None,
    base: str | None = None,
) -> Deployment:
    """Write the version ``ref`` for ``target`` into a new or empty folder, whole or not at all.

    ``params`` are the target's; ``inputs`` what to compare by, None for fixed texts; ``base`` says
    where an adapter's base lies, if not where it was. The folder's ``deployment.json`` says from
    which version it is and how far its answers are from it. Raises as
    :func:`~adapterhub_lite.deployment.exporting.export_version`, CapabilityError for a format that
    cannot be asked here, and DataError for inputs that the version does not take.
    """
    spec = _target(target, catalogue)
    chosen = validate(spec.params, params or {}, where=target)
    source = find_source(ref, spec, registry, catalogue, base)
    with fresh_folder(destination) as fresh:
        write(source, fresh, spec, chosen, catalogue)
        parity = source.parity(spec, chosen, fresh, catalogue, inputs)
        require_parity(parity, target)
        files = hash_files(fresh)
        manifest = DeploymentManifest(
            version=source.version,
            digest="" if is_path(ref) else registry.resolve(source.version).digest,
            base=source.base.ref if source.info.base else "",
            target=target,
            plugin=catalogue.offer("exporter", target).source.distribution,
            params=chosen.model_dump(mode="json"),
            inputs="fixed" if inputs is None else "given",
            parity=ParityRecord.model_validate(parity.record()),
            files=files,
            environment=environment(),
        )
        write_manifest(manifest, fresh)
    folder = destination.expanduser().absolute()
    usage = catalogue.implementation(spec).usage(folder)
    return Deployment(
        version=source.version,
        target=target,
        folder=folder,
        parity=parity,
        usage=usage,
        files=len(files),
    )


def verify_deployment(
    folder: Path,
    registry: "Registry",
    catalogue: Catalogue,
    *,
    inputs: Sequence[Any] | None = None,
    base: str | None = None,
) -> Deployment:
    """Check a deployed folder again: its files by their hashes, its answers by its version's.

    Raises NotFoundError for a folder without ``deployment.json`` or a version that is not here,
    IntegrityError for files that are not what was deployed, and SelfTestError for answers that are
    no longer within the tolerance.
    """
    folder = folder.expanduser().absolute()
    manifest = read_manifest(folder)
    check_files(manifest, folder)
    spec = _target(manifest.target, catalogue)
    params = validate(spec.params, manifest.params, where=manifest.target)
    source = _source_of(manifest, spec, registry, catalogue, base)
    parity = source.parity(spec, params, folder, catalogue, inputs)
    require_parity(parity, manifest.target)
    return Deployment(
        version=manifest.version,
        target=manifest.target,
        folder=folder,
        parity=parity,
        usage=catalogue.implementation(spec).usage(folder),
        files=len(manifest.files),
    )


def _target(name: str, catalogue: Catalogue) -> ExporterSpec:
    """Return the spec of a target; raises CapabilityError for a format that is none."""
    spec = catalogue.exporter(name)
    if not spec.deploys:
        raise CapabilityError(
            f"{name!r} is a format that cannot be asked here, so it cannot be compared",
            hint=f"write it all the same: ahl export REF DIR --format {name}",
        )
    return spec


def _source_of(
    manifest: DeploymentManifest,
    spec: ExporterSpec,
    registry: "Registry",
    catalogue: Catalogue,
    base: str | None,
) -> Source:
    """Find the version that a folder was made of, and no other of its name."""
    if manifest.digest and registry.resolve(manifest.version).digest != manifest.digest:
        raise IntegrityError(
            f"{manifest.version} in this registry is not the version that was deployed",
            hint=f"pull the version with the digest {manifest.digest}, or give its --home",
        )
    return find_source(manifest.version, spec, registry, catalogue, base or manifest.base or None)
