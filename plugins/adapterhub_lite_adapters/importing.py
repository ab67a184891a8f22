"""An adapter that AdapterHub's ``adapters`` wrote becomes a version, and is believed nothing.

Its files are copied and judged; each tensor gets its place on the base's architecture, by name and
shape, before a weight of adapter or base is read. Then the method that it is here is attached to
the base, the numbers are put in, and the method writes them: no file of the source is taken over.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file

from adapterhub_lite.architecture import Architecture, TensorInfo, read_architecture
from adapterhub_lite.deployment.foreign_adapters import (
    LARGEST,
    held_heads,
    read_head,
    source_of,
    staging,
    write_adapter_info,
)
from adapterhub_lite.deployment.model_folders import read_json
from adapterhub_lite.deployment.untrusted import check_header, copy_file, exists
from adapterhub_lite.deployment.weights import copy_weights, refuse_infinite
from adapterhub_lite.errors import BaseModelError, CapabilityError
from adapterhub_lite.isolation.weights import convert_weights
from adapterhub_lite.protocols import ImportOptions, LoadedBase
from adapterhub_lite.recipes import validate
from adapterhub_lite.specs import ResolvedBase
from adapterhub_lite.transformer import empty_model, load_transformer
from adapterhub_lite.tuners.files import CONFIG, MAX_CONFIG_BYTES, State, put_state
from adapterhub_lite_adapters import bottleneck, low_rank, prefix
from adapterhub_lite_adapters.configs import (
    About,
    Bottleneck,
    LowRank,
    Method,
    Prefix,
    read_about,
    read_method,
)
from adapterhub_lite_adapters.heads import ForeignHead, translate_head
from adapterhub_lite_adapters.translating import Translated, require_shape

ADAPTER: Final = ("adapter.safetensors", "pytorch_adapter.bin")
HEAD: Final = ("model_head.safetensors", "pytorch_model_head.bin")
HEAD_CONFIG: Final = "head_config.json"


@dataclass(frozen=True, slots=True)
class _Weights:
    """A staged safetensors file, and the tensors that its judged header names."""

    file: Path
    tensors: Mapping[str, TensorInfo]


@dataclass(frozen=True, slots=True)
class _Head:
    """A head's weights, none where there is none, and where they belong."""

    weights: _Weights | None = None
    foreign: ForeignHead = field(default_factory=ForeignHead)

    def places(self) -> dict[str, TensorInfo]:
        """Return its tensors by transformers' names."""
        found = self.weights.tensors if self.weights else {}
        return {ours: found[theirs] for ours, theirs in self.foreign.names.items()}

    def load(self, start: str) -> State:
        """Read its tensors by transformers' names, with ``start`` before them."""
        state = load_file(self.weights.file) if self.weights else {}
        return {f"{start}{ours}": state[theirs] for ours, theirs in self.foreign.names.items()}


class AdaptersImporter:
    """Reads what ``save_adapter`` of the ``adapters`` library wrote, and its head."""

    def read(self, source: Path, destination: Path, options: ImportOptions) -> Mapping[str, Any]:
        """Write an adapter's files into ``destination``; return the manifest fields.

        Raises BaseModelError for a folder that is no such adapter or not of the base, and
        CapabilityError for one that is not supported, or pickled without ``options.convert``.
        """
        with staging(source) as staged:
            weights = _stage(source, ADAPTER, staged, options.convert)
            copy_file(source, CONFIG, MAX_CONFIG_BYTES, staged)
            about = read_about(read_json(staged / CONFIG, str(source)))
            config = read_method(about)
            head = _stage_head(source, staged, about, options)
            if head.foreign.labels and not options.labels:
                options = replace(options, labels=head.foreign.labels)
            objective = options.find_objective("classification" if head.weights else None)
            base = options.find_base(about.model_name)
            architecture = _architecture(base, about)
            kind = read_head(architecture.folder, objective, head.places(), options)
            skeleton = empty_model(architecture.folder, kind)
            translated = _translate(about, config, weights.tensors, skeleton.model)
            held = _fit_head(head, skeleton, architecture)
            spec, method = options.find_method(translated.method)
            params = validate(spec.params, dict(translated.params), where="method")
            for reason in method.check(architecture, kind, params):
                raise CapabilityError(f"the adapter does not fit the base {base.ref!r}: {reason}")
            own = load_file(weights.file)
            with torch.random.fork_rng(devices=[]):
                loaded = load_transformer(architecture.folder, kind, torch.float32, "cpu")
                state = translated.fill(own, loaded) | head.load(translated.start)
                attached = method.attach(replace(loaded, new=held), params)
            put_state(attached.model, state)
            method.save(attached, destination)
            write_adapter_info(destination, translated.method, objective, kind, base)
            told = {"imported_from": "adapters", "adapters": about.version[:60]}
            return {"hyperparameters": {**told, "source": source_of(source, weights.file)}}


def _stage(source: Path, names: tuple[str, str], staged: Path, allowed: bool) -> _Weights:
    """Copy weights, or convert them in isolation, and judge the header."""
    ref, (safe, pickled) = str(source), names
    if exists(source / safe):
        copy_weights(source, safe, LARGEST, staged)
    elif not exists(source / pickled):
        raise BaseModelError(
            f"{ref} is no adapter of AdapterHub: it has neither {safe} nor {pickled}",
            ref=ref,
            hint="give a folder that save_adapter wrote",
        )
    elif not allowed:
        raise CapabilityError(
            f"{pickled} is a pickle, and loading a pickle runs whatever is in it",
            hint="add --convert-pickle: its numbers are read by an isolated process, and nothing "
            "in it is run",
        )
    else:
        copy_file(source, pickled, LARGEST, staged)
        convert_weights(staged / pickled, staged / safe, ref)
        refuse_infinite(staged / safe, ref)
    return _Weights(staged / safe, check_header(staged / safe, ref))


def _stage_head(source: Path, staged: Path, about: About, options: ImportOptions) -> _Head:
    if not any(exists(source / name) for name in HEAD):
        return _Head()
    copy_file(source, HEAD_CONFIG, MAX_CONFIG_BYTES, staged)
    told = read_json(staged / HEAD_CONFIG, str(source))
    weights = _stage(source, HEAD, staged, options.convert)
    return _Head(weights, translate_head(told, about.model_type, weights.tensors))


def _architecture(base: ResolvedBase, about: About) -> Architecture:
    found = read_architecture(Path(base.path), base.ref)
    if found.model_type != about.model_type:
        raise BaseModelError(
            f"the adapter is of a {about.model_type[:60]!r} model, and {base.ref!r} is a "
            f"{found.model_type!r}",
            ref=base.ref,
            hint="give the base that it was trained on: --base REF",
        )
    return found


def _translate(
    about: About, config: Method, tensors: Mapping[str, TensorInfo], model: Any
) -> Translated:
    match config:
        case Bottleneck():
            return bottleneck.translate(about, config, tensors, model)
        case LowRank():
            return low_rank.translate(about, config, tensors, model)
        case Prefix():
            return prefix.translate(about, config, tensors, model)


def _fit_head(head: _Head, skeleton: LoadedBase, architecture: Architecture) -> tuple[str, ...]:
    """Return the new modules that the head holds, its shapes held against the base's."""
    parameters = dict(skeleton.model.named_parameters())
    for name, info in head.places().items():
        own = parameters.get(name)
        if own is None:
            raise CapabilityError(
                f"the adapter has a head for texts, and a model for {skeleton.head.kind} has not",
                hint="leave --objective out: it will be classification",
            )
        require_shape(name, info.shape, own.shape)
    named: State = {name: torch.empty(0, device="meta") for name in head.places()}
    return held_heads(skeleton, named, architecture)
