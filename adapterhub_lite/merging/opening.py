"""From what a person calls a model to something that gives its tensors."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adapterhub_lite.bases import resolve_base
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import (
    BaseModelError,
    CapabilityError,
    InvalidNameError,
    NotFoundError,
)
from adapterhub_lite.inference.artifact import ARTIFACT_FILE, ArtifactInfo, read_artifact_info
from adapterhub_lite.inference.loading import find_base, is_path
from adapterhub_lite.specs import ResolvedBase
from adapterhub_lite.streaming.adapters.files import CONFIG as ADAPTER_CONFIG
from adapterhub_lite.streaming.adapters.files import read_adapter_files
from adapterhub_lite.streaming.adapters.kinds import refuse_other_kinds
from adapterhub_lite.streaming.adapters.source import open_adapter
from adapterhub_lite.streaming.quantised import QuantisedSource
from adapterhub_lite.streaming.sources import FolderSource, Source

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry, Version

MAX_CONFIG_BYTES: Final = 16 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A model, or an adapter with its base, that can be merged.

    ``ref`` is what the user wrote, ``source`` gives the tensors (of an adapter: those of the model
    that it makes of its base), ``folder`` has the config and the tokenizer (an adapter's base's).
    ``config`` is that of the tensors: an adapter that unties the output layer changes it. ``base``
    is an adapter's, and ``adapter`` its own folder; ``version`` is set when it came from the
    registry, ``info`` when this project made it. ``notices`` say what is not to pass in silence.
    """

    ref: str
    source: Source
    folder: Path
    config: Mapping[str, Any]
    base: "Opened | None" = None
    adapter: Path | None = None
    version: "Version | None" = None
    info: ArtifactInfo | None = None
    notices: tuple[str, ...] = ()


def open_model(
    ref: str,
    registry: "Registry",
    catalogue: Catalogue,
    *,
    base: str | None = None,
    any_base: bool = False,
) -> Opened:
    """Open a model folder, a registry version, a packaged model, a hub id or an adapter.

    A name in the registry wins over a folder of the same name; ``./name`` is always the folder.
    ``base`` says where an adapter's base lies, ``any_base`` that it may be another one than the
    adapter was trained on. Raises BaseModelError, NotFoundError or IntegrityError, and
    CapabilityError for an adapter that is no change of weights, or a model that is quantised in a
    way that is not read.
    """
    folder, version = _find(ref, registry, catalogue)
    if (folder / ARTIFACT_FILE).is_file():
        return _open_ours(ref, folder, version, registry, catalogue, base, any_base=any_base)
    if (folder / ADAPTER_CONFIG).is_file():
        found = _base_of_peft(ref, folder, registry, catalogue, base)
        return _open_adapter(ref, folder, _open_resolved(found, registry), version=version)
    return _open_whole(ref, folder, version=version)


def _find(ref: str, registry: "Registry", catalogue: Catalogue) -> "tuple[Path, Version | None]":
    """Return the folder of a reference, with every byte verified when it is the registry's."""
    if not is_path(ref):
        try:
            version = registry.resolve(ref)
        except InvalidNameError:
            pass
        except NotFoundError:
            if ref.partition("@")[0] in registry.names():
                raise  # the name is there: its version or alias is not
        else:
            return registry.path(version), version
    found = resolve_base(ref, catalogue, registry)
    return Path(found.path), None


def _open_ours(
    ref: str,
    folder: Path,
    version: "Version | None",
    registry: "Registry",
    catalogue: Catalogue,
    base: str | None,
    *,
    any_base: bool,
) -> Opened:
    info = read_artifact_info(folder)
    if info.base is None:
        return _open_whole(ref, folder, version=version, info=info)
    _refuse_other_methods(ref, folder, info)
    refuse_other_kinds(read_adapter_files(folder, ref))
    found = find_base(folder, info, registry, catalogue, base=base, any_base=any_base)
    quantised = catalogue.loader(info.loader).quantised
    opened = _open_resolved(found, registry)
    return _open_adapter(ref, folder, opened, version=version, info=info, quantised=quantised)


def _refuse_other_methods(ref: str, folder: Path, info: ArtifactInfo) -> None:
    """Refuse what has no adapter of PEFT's format: the method's name is all that is known of it."""
    if not (folder / ADAPTER_CONFIG).is_file():
        raise CapabilityError(
            f"{ref} was trained by {info.method!r}, which is not read as a change of weights",
            hint=f"bake it first, if its method can be: ahl bake {ref} --into NAME",
        )


def _base_of_peft(
    ref: str, folder: Path, registry: "Registry", catalogue: Catalogue, base: str | None
) -> ResolvedBase:
    files = read_adapter_files(folder, ref)
    refuse_other_kinds(files)
    named = base or files.text("base_model_name_or_path", "")
    if not named:
        raise BaseModelError(
            f"the adapter {ref!r} names no base", ref=ref, hint="say which one it was trained on"
        )
    try:
        return resolve_base(named, catalogue, registry)
    except BaseModelError as error:
        if base is not None:
            raise
        raise BaseModelError(
            f"the base that the adapter {ref!r} names is not found: {error.message}",
            ref=ref,
            hint="say where it lies",
        ) from error


def _open_resolved(found: ResolvedBase, registry: "Registry") -> Opened:
    version = registry.resolve(found.ref) if found.source == "registry" else None
    folder = Path(found.path)
    info = read_artifact_info(folder) if (folder / ARTIFACT_FILE).is_file() else None
    return _open_whole(found.ref, folder, version=version, info=info)


def _open_whole(
    ref: str,
    folder: Path,
    *,
    version: "Version | None" = None,
    info: ArtifactInfo | None = None,
) -> Opened:
    if not (folder / "config.json").is_file() and (folder / ADAPTER_CONFIG).is_file():
        raise BaseModelError(
            f"{ref!r} is an adapter, and a base is a whole model",
            ref=ref,
            hint=f"merge it into its base first: ahl bake {ref} --into NAME",
        )
    config = read_config(folder, ref)
    source, notices = _open_source(folder, ref, config)
    return Opened(
        ref=ref,
        source=source,
        folder=folder,
        config=config,
        version=version,
        info=info,
        notices=notices,
    )


def _open_adapter(
    ref: str,
    folder: Path,
    base: Opened,
    *,
    version: "Version | None" = None,
    info: ArtifactInfo | None = None,
    quantised: bool = False,
) -> Opened:
    source = open_adapter(folder, base.source, base.config, ref)
    config = {**base.config, "tie_word_embeddings": False} if source.untied else base.config
    notices = [f"{ref}: {notice}" for notice in source.notices]
    if quantised:
        notices.append(
            f"{ref} was trained on {base.ref} with quantised weights; here its change is added to "
            "those that are stored"
        )
    return Opened(
        ref=ref,
        source=source,
        folder=base.folder,
        config=config,
        base=base,
        adapter=folder,
        version=version,
        info=info,
        notices=(*base.notices, *notices),
    )


def _open_source(
    folder: Path, ref: str, config: Mapping[str, Any]
) -> tuple[Source, tuple[str, ...]]:
    told = config.get("quantization_config")
    if not told:
        return FolderSource(folder.resolve(), ref), ()
    kind = told.get("quant_method") if isinstance(told, dict) else None
    if kind != "bitsandbytes":
        raise CapabilityError(
            f"{ref} is quantised by {str(kind)[:40]!r}, which is not read",
            hint="nf4 and int8 of bitsandbytes are; give the model before it was quantised",
        )
    notice = f"{ref} is quantised: what its layers compute with is merged, in floating point"
    return QuantisedSource(folder.resolve(), ref, config), (notice,)


def read_config(folder: Path, ref: str) -> dict[str, Any]:
    """Read a model folder's config.json; raises BaseModelError when it is absent or malformed."""
    file = folder / "config.json"
    try:
        if file.stat().st_size > MAX_CONFIG_BYTES:
            raise ValueError("it is too large")
        config = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise TypeError("it is no JSON object")
    except FileNotFoundError:
        raise BaseModelError(
            f"{ref!r} is no model folder: it has no config.json",
            ref=ref,
            hint="a model is a folder with config.json and model.safetensors, or an adapter's",
        ) from None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise BaseModelError(f"config.json of {ref!r} cannot be read: {error}", ref=ref) from error
    return config
