"""Write a version in another tool's format, and ask what was written as the version is asked."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.deployment.baking import require_bakeable, write_merged
from adapterhub_lite.deployment.fresh import fresh_folder
from adapterhub_lite.deployment.parity import Parity, ask_version, compare, require_parity
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.inference.artifact import ArtifactInfo, read_artifact_info
from adapterhub_lite.inference.loading import find_base, resolve_artifact
from adapterhub_lite.inference.origins import require_parts
from adapterhub_lite.protocols import Questions
from adapterhub_lite.recipes import validate
from adapterhub_lite.specs import ExporterSpec, Params, ResolvedBase

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, from which version, and what the format is, in its plugin's words.

    ``parity`` is None for a format that cannot be asked here.
    """

    version: str
    folder: Path
    form: str
    summary: str
    parity: Parity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A version that goes out: its folder, what it is, and what its weights are loaded onto."""

    folder: Path
    version: str
    info: ArtifactInfo
    base: ResolvedBase

    def parity(
        self,
        spec: ExporterSpec,
        params: Params,
        written: Path,
        catalogue: Catalogue,
        inputs: Sequence[Any] | None = None,
    ) -> Parity:
        """Ask the version, and what an exporter wrote of it to ``written``, the same."""
        target = catalogue.implementation(spec)
        version, given = ask_version(self.folder, self.info, self.base, catalogue, inputs)
        base = self.base if self.info.base and "adapter" in spec.takes else None
        asked = Questions(task=self.info.task, head=self.info.head, base=base, inputs=given)
        found = target.answers(written, asked, params)
        return compare(version, found, target.tolerance(params), self.info.loader)


def export_version(
    ref: str,
    destination: Path,
    form: str,
    registry: "Registry",
    catalogue: Catalogue,
    *,
    params: Mapping[str, Any] | None = None,
    base: str | None = None,
) -> Exported:
    """Write the version ``ref`` to the new or empty folder ``destination``, whole or not at all.

    ``params`` are the exporter's. ``base`` says where an adapter's base lies now, and is what the
    folder will name as its base. Raises UnknownNameError for a format that no plugin offers,
    RecipeError for its parameters, DataError for an occupied folder, NotFoundError, BaseModelError,
    CapabilityError when the format cannot hold the version, and SelfTestError when what was written
    does not answer as the version does.
    """
    spec = catalogue.exporter(form)
    chosen = validate(spec.params, params or {}, where=form)
    source = find_source(ref, spec, registry, catalogue, base)
    parity = None
    with fresh_folder(destination) as fresh:
        write(source, fresh, spec, chosen, catalogue)
        if spec.deploys:
            parity = source.parity(spec, chosen, fresh, catalogue)
            require_parity(parity, form)
    return Exported(source.version, destination.expanduser().absolute(), form, spec.summary, parity)


def whole_model(folder: Path) -> ResolvedBase:
    """Return what a whole model's weights are loaded onto: the folder itself."""
    return ResolvedBase(ref=str(folder), path=str(folder), source="artifact")


def find_source(
    ref: str,
    spec: ExporterSpec,
    registry: "Registry",
    catalogue: Catalogue,
    base: str | None = None,
) -> Source:
    """Find a version that an exporter can write; no weight is loaded. Raises CapabilityError."""
    folder, version = resolve_artifact(ref, registry)
    info = read_artifact_info(folder)
    require_parts(info, version, catalogue)
    if info.task not in spec.tasks:
        tasks = ", ".join(sorted(spec.tasks))
        raise CapabilityError(
            f"{spec.name!r} cannot hold {version}, whose task is {info.task!r}",
            hint=f"it holds: {tasks}",
        )
    if info.base is None and "model" not in spec.takes:
        raise CapabilityError(
            f"{version} is a whole model, and {spec.name!r} takes adapters",
            hint="take hf, which holds whole models",
        )
    if info.base is not None and "adapter" not in spec.takes:
        require_bakeable(info, version, catalogue)
    found = find_base(folder, info, registry, catalogue, base=base)
    return Source(folder=folder, version=version, info=info, base=found)


def write(
    source: Source, destination: Path, spec: ExporterSpec, params: Params, catalogue: Catalogue
) -> None:
    """Write a version into an empty folder; an adapter goes merged where it has to."""
    exporter = catalogue.implementation(spec)
    with _as_taken(source, spec, catalogue) as (folder, base):
        exporter.export(folder, destination, base, params)


@contextmanager
def _as_taken(
    source: Source, spec: ExporterSpec, catalogue: Catalogue
) -> Iterator[tuple[Path, ResolvedBase | None]]:
    """Yield the folder and base that an exporter gets: of an adapter it may be the merged model."""
    if source.info.base is None:
        yield source.folder, None
    elif "adapter" in spec.takes:
        yield source.folder, source.base
    else:
        with TemporaryDirectory(prefix="adapterhub-") as work:
            made = Path(work) / "model"
            made.mkdir()
            write_merged(source.folder, made, source.info, source.base, catalogue)
            yield made, None
