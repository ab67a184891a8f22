"""From a reference to a predictor."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite.bases import fingerprint, resolve_base
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import (
    BaseModelError,
    CapabilityError,
    IntegrityError,
    NotFoundError,
)
from adapterhub_lite.inference.artifact import ArtifactInfo, NeededBase, read_info
from adapterhub_lite.inference.interface import interface_of, predictor_of
from adapterhub_lite.inference.origins import require_parts, warn_of_versions
from adapterhub_lite.inference.predictor import Predictor
from adapterhub_lite.protocols import LoadedBase, Scorer
from adapterhub_lite.recipes import validate
from adapterhub_lite.specs import ResolvedBase
from adapterhub_lite.transformer import load_tokenizer

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry


def load_predictor(
    ref: str,
    registry: "Registry",
    catalogue: Catalogue,
    *,
    device: str = "cpu",
    base: str | None = None,
    any_base: bool = False,
    loader: str | None = None,
) -> Predictor:
    """Load a registry version, every byte verified, or a folder.

    A name in the registry wins over a folder of the same name; ``./name`` is always the folder.
    ``base`` says where an adapter's base lies now; with ``any_base`` it may be another one.
    ``loader`` loads it in another precision than it was trained in.
    """
    folder, name = resolve_artifact(ref, registry)
    info = read_info(folder)
    require_parts(info, name, catalogue)
    warn_of_versions(info, name, catalogue)
    info = info if loader is None else loaded_by(loader, info, name, catalogue)
    found = find_base(folder, info, registry, catalogue, base=base, any_base=any_base)
    if info.composition is not None:
        # imported here, since it loads its members by this module
        from adapterhub_lite.inference.composed import load_composition

        return load_composition(folder, name, info, found, catalogue, device)
    scorer = load_scorer(folder, info, found, catalogue, device)
    return predictor_of(scorer, name, interface_of(info, catalogue))


def loaded_by(loader: str, info: ArtifactInfo, name: str, catalogue: Catalogue) -> ArtifactInfo:
    """Return what says of a version that another loader loads it, with that one's defaults.

    Raises UnknownNameError, and CapabilityError for a composition, or an adapter whose method takes
    no quantised base where the loader makes one.
    """
    if info.composition is not None:
        raise CapabilityError(
            f"{name} is a composition, whose members are loaded as they were trained",
            hint="load one of its members' own versions so",
        )
    method = catalogue.method(info.method)
    quantised = catalogue.loader(loader).quantised
    if quantised and info.base is not None and "quantised-base" not in method.capabilities:
        raise CapabilityError(
            f"the loader {loader!r} quantises the base, which adapters of {info.method!r} do not "
            "take",
            hint="bf16 halves a base without that: the loader bf16",
        )
    return replace(info, loader=loader, loader_params={})


def load_scorer(
    folder: Path, info: ArtifactInfo, base: ResolvedBase, catalogue: Catalogue, device: str
) -> Scorer:
    """Load an artifact's folder onto ``base`` into a scorer."""
    objective = catalogue.implementation(catalogue.objective(info.objective))
    scorer: Scorer = objective.load(load_model(folder, info, base, catalogue, device), folder)
    return scorer


def load_model(
    folder: Path, info: ArtifactInfo, base: ResolvedBase, catalogue: Catalogue, device: str
) -> LoadedBase:
    """Load an artifact's folder onto ``base``: by its loader, then by its method.

    The tokenizer is the artifact's own, with the chat template that it was trained with. Raises
    IntegrityError for a whole model that lacks the layers of its head: new ones would be drawn.
    """
    loaded = load_base(folder, info, base, catalogue, device)
    if info.base is None and loaded.drawn:
        raise IntegrityError(
            f"{folder} is a model for {info.task}, and lacks {', '.join(loaded.drawn)}"
        )
    method = catalogue.implementation(catalogue.method(info.method))
    attached: LoadedBase = method.load(loaded, folder)
    return attached


def load_base(
    folder: Path, info: ArtifactInfo, base: ResolvedBase, catalogue: Catalogue, device: str
) -> LoadedBase:
    """Load what an artifact's weights are put onto: its base, with its head and tokenizer."""
    spec = catalogue.loader(info.loader)
    params = validate(spec.params, info.loader_params, where="loader")
    loaded: LoadedBase = catalogue.implementation(spec).load(base, info.head, params, device)
    return replace(loaded, tokenizer=load_tokenizer(folder)) if info.base else loaded


def find_base(
    folder: Path,
    info: ArtifactInfo,
    registry: "Registry",
    catalogue: Catalogue,
    *,
    base: str | None = None,
    any_base: bool = False,
) -> ResolvedBase:
    """Return what an artifact's weights are loaded onto: the folder itself, or its base.

    Raises BaseModelError when the base is not found, or is another than it was trained on.
    """
    if info.base is None:
        return ResolvedBase(ref=str(folder), path=str(folder), source="artifact")
    found = resolve_base(base or info.base.ref, catalogue, registry)
    if not any_base:
        _require_same(found, info.base)
    return found


def _require_same(found: ResolvedBase, needed: NeededBase) -> None:
    """Refuse another base: an adapter on it would answer, and wrongly."""
    now = fingerprint(found)
    parts = ("config", "weights", "tokenizer")
    other = [p for p in parts if getattr(now, p) != getattr(needed.fingerprint, p)]
    if other:
        raise BaseModelError(
            f"the adapter was trained on another base than {found.ref!r}: its "
            f"{' and '.join(other)} differ",
            ref=found.ref,
            hint="give the right one with --base, or insist on this one with --any-base",
        )


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
