"""From what a person calls a model to something that gives its tensors."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adapterhub_lite.bases import resolve_base
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.deployment.pickled import convert_folder, pickled_weights
from adapterhub_lite.errors import (
    BaseModelError,
    CapabilityError,
    InvalidNameError,
    NotFoundError,
)
from adapterhub_lite.inference.artifact import ARTIFACT_FILE, ArtifactInfo, read_artifact_info
from adapterhub_lite.inference.loading import find_base, is_path
from adapterhub_lite.inference.origins import require_parts
from adapterhub_lite.merging.named_base import find_named_base
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
class Allowed:
    """What a person insists on, which is refused otherwise.

    ``any_base`` puts adapters on another base than they were trained on; ``convert_pickle`` lets
    pickled weights be read, in isolation.
    """

    any_base: bool = False
    convert_pickle: bool = False


NOTHING: Final = Allowed()


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
    allowed: Allowed = NOTHING,
) -> Opened:
    """Open a model folder, a registry version, a packaged model, a hub id or an adapter.

    A name in the registry wins over a folder of the same name; ``./name`` is always the folder.
    ``base`` says where an adapter's base lies. ``model+adapter``, as mergekit writes it, is the
    adapter on that very model. Raises BaseModelError, NotFoundError or IntegrityError, and
    CapabilityError for an adapter that is no change of weights, or a model that is quantised in a
    way that is not read.
    """
    under, plus, adapter = ref.rpartition("+")
    if plus and not Path(ref).expanduser().exists():
        insisting = _Opening(registry, catalogue, replace(allowed, any_base=True))
        return insisting.open(adapter, under)
    return _Opening(registry, catalogue, allowed).open(ref, base)


@dataclass(frozen=True, slots=True)
class _Opening:
    """Opens models of a registry, as far as it is allowed."""

    registry: "Registry"
    catalogue: Catalogue
    allowed: Allowed

    def open(self, ref: str, base: str | None) -> Opened:
        found, version = self._find(ref)
        folder, notices = self._readable(found, ref)
        if (folder / ARTIFACT_FILE).is_file():
            opened = self._ours(ref, folder, version, base)
        elif (folder / ADAPTER_CONFIG).is_file():
            under = self._resolved(self._base_of_peft(ref, folder, base))
            opened = _open_adapter(ref, folder, under, version=version)
        else:
            opened = _open_whole(ref, folder, version=version)
        return replace(opened, notices=(*notices, *opened.notices))

    def _find(self, ref: str) -> "tuple[Path, Version | None]":
        """Return the folder of a reference, with every byte verified when it is the registry's."""
        if not is_path(ref):
            try:
                version = self.registry.resolve(ref)
            except InvalidNameError:
                pass
            except NotFoundError:
                if ref.partition("@")[0] in self.registry.names():
                    raise  # the name is there: its version or alias is not
            else:
                return self.registry.path(version), version
        found = resolve_base(ref, self.catalogue, self.registry)
        return Path(found.path), None

    def _readable(self, folder: Path, ref: str) -> tuple[Path, tuple[str, ...]]:
        """Return the folder, or what it is converted to when its weights are pickled."""
        pickled = pickled_weights(folder)
        if pickled is None:
            return folder, ()
        if not self.allowed.convert_pickle:
            raise CapabilityError(
                f"{pickled} of {ref} is a pickle, and loading a pickle runs whatever is in it",
                hint="add --convert-pickle: its tensors are read by an isolated process, and "
                "nothing in it is run",
            )
        converted = convert_folder(folder, self.registry.home / "converted", ref)
        return converted, (
            f"{ref} is pickled: its tensors were read in isolation, and none of it was run",
        )

    def _ours(self, ref: str, folder: Path, version: "Version | None", base: str | None) -> Opened:
        info = read_artifact_info(folder)
        needed = ("objective",) if info.base is None else None
        require_parts(info, ref, self.catalogue, needed)
        if info.base is None:
            return _open_whole(ref, folder, version=version, info=info)
        _refuse_other_methods(ref, folder, info)
        refuse_other_kinds(read_adapter_files(folder, ref))
        insisted = self.allowed.any_base
        found = find_base(folder, info, self.registry, self.catalogue, base=base, any_base=insisted)
        quantised = self.catalogue.loader(info.loader).quantised
        opened = self._resolved(found)
        return _open_adapter(ref, folder, opened, version=version, info=info, quantised=quantised)

    def _base_of_peft(self, ref: str, folder: Path, base: str | None) -> ResolvedBase:
        files = read_adapter_files(folder, ref)
        refuse_other_kinds(files)
        named = files.text("base_model_name_or_path", "")
        insisted = self.allowed.any_base
        return find_named_base(ref, named, base, self.registry, self.catalogue, any_base=insisted)

    def _resolved(self, found: ResolvedBase) -> Opened:
        version = self.registry.resolve(found.ref) if found.source == "registry" else None
        folder, notices = self._readable(Path(found.path), found.ref)
        info = read_artifact_info(folder) if (folder / ARTIFACT_FILE).is_file() else None
        opened = _open_whole(found.ref, folder, version=version, info=info)
        return replace(opened, notices=(*notices, *opened.notices))


def _refuse_other_methods(ref: str, folder: Path, info: ArtifactInfo) -> None:
    """Refuse what has no adapter of PEFT's format: the method's name is all that is known of it."""
    if not (folder / ADAPTER_CONFIG).is_file():
        raise CapabilityError(
            f"{ref} was trained by {info.method!r}, which is not read as a change of weights",
            hint=f"bake it first, if its method can be: ahl bake {ref} --into NAME",
        )


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
