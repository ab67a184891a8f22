"""Bottleneck adapters as a method: a PEFT tuner of ours, put on and taken off like PEFT's own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import nn

from adapterhub_lite.architecture import Architecture
from adapterhub_lite.errors import AdapterHubError, CapabilityError, IntegrityError
from adapterhub_lite.heads import TASK_TYPES
from adapterhub_lite.protocols import Attached, LoadedBase, TokenOwners
from adapterhub_lite.specs import Head
from adapterhub_lite.transformer import empty_model
from adapterhub_lite.tuners.files import (
    CONFIG,
    adapter_state,
    put_state,
    read_config,
    read_state,
    saved_heads,
    write_adapter,
)
from adapterhub_lite.tuners.together import (
    require_heads_alone,
    stack,
    weighted_heads,
    whole_modules,
)
from adapterhub_lite.tuners.wrapping import trainable_names, tuner_layers, wrap
from adapterhub_lite_bottleneck import BottleneckParams
from adapterhub_lite_bottleneck.average import differences, side_by_side
from adapterhub_lite_bottleneck.beside import put_beside
from adapterhub_lite_bottleneck.config import BottleneckConfig
from adapterhub_lite_bottleneck.layer import BottleneckLayer
from adapterhub_lite_bottleneck.tuner import register

WIDEST: Final = 8
"""How many times as wide as the hidden states a bottleneck may be."""
INERT: Final = frozenset({"auto_mapping", "exclude_modules", "layers_pattern"})
"""Settings of a config that a recipe cannot give; they have to be empty."""

register()


class Bottleneck:
    """Houlsby's, Pfeiffer's and parallel adapters."""

    def check(
        self, architecture: Architecture, head: Head, params: BottleneckParams
    ) -> Sequence[str]:
        """Wrap the base without its weights, and say what does not fit."""
        numbers = params.layers if isinstance(params.layers, list) else []
        beyond = [number for number in numbers if number >= architecture.layers]
        if beyond:
            return [f"there is no layer {beyond[0]}: the base has {architecture.layers}, from 0"]
        width = params.bottleneck_size or architecture.hidden_size / params.reduction_factor
        if width > WIDEST * architecture.hidden_size:
            return [
                f"a bottleneck of {width:,.0f} is no bottleneck for hidden states of "
                f"{architecture.hidden_size}"
            ]
        base = empty_model(architecture.folder, head)
        if absent := _absent(base, params.target_modules or ()):
            return [f"target_modules names {absent[0]!r}, which the base does not have"]
        try:
            self._wrapped(base, params)
        except AdapterHubError as error:
            return [f"{error.message} ({error.hint})" if error.hint else error.message]
        return []

    def count_trainable(
        self, architecture: Architecture, head: Head, params: BottleneckParams
    ) -> int:
        """Count on the base without its weights: the adapters' parameters and the head's."""
        model = self._wrapped(empty_model(architecture.folder, head), params)
        return sum(value.numel() for value in model.parameters() if value.requires_grad)

    def attach(self, base: LoadedBase, params: BottleneckParams) -> Attached:
        """Wrap a loaded base; what is drawn comes from torch's global generator."""
        model = wrap(base, _config(base, params))
        return Attached(model, base.tokenizer, base.path, trainable_names(model), base.head)

    def save(self, attached: Attached, folder: Path) -> None:
        """Write ``adapter_config.json``, ``adapter_model.safetensors`` and the tokenizer."""
        model: Any = attached.model
        write_adapter(folder, model.peft_config["default"], adapter_state(model), {})
        attached.tokenizer.save_pretrained(folder)

    def load(self, base: LoadedBase, folder: Path) -> LoadedBase:
        """Wrap a fresh base and put the saved tensors in; raises IntegrityError unless they fit."""
        state = read_state(folder)
        config = _read(folder)
        config.modules_to_save = list(saved_heads(base, state)) or None
        config.task_type = TASK_TYPES[base.head.kind]
        with torch.random.fork_rng(devices=[]):
            model = wrap(base, config)
        put_state(model, state)
        model.requires_grad_(False)
        return replace(base, model=model.eval())

    def bake(self, base: LoadedBase, folder: Path) -> LoadedBase:
        """Refuse: a non-linear network cannot become part of a linear layer."""
        raise CapabilityError(
            "a bottleneck adapter is not linear and cannot be merged into its base",
            hint="it is served beside its base",
        )

    def check_together(
        self, folders: Mapping[str, Path], how: Literal["stack", "average"]
    ) -> Sequence[str]:
        """Return what speaks against adapters acting together, told from their configs."""
        if how == "stack":
            return []
        return differences({name: _read(folder) for name, folder in folders.items()})

    def load_stack(self, base: LoadedBase, folders: Mapping[str, Path], head: str) -> LoadedBase:
        """Put several adapters onto a fresh base, each reading what those before it made."""
        others = {name: (_read(f), f) for name, f in folders.items() if name != head}
        loaded = self.load(base, folders[head])
        return replace(loaded, model=stack(loaded.model, list(folders), head, others))

    def check_split(self, folders: Mapping[str, Path]) -> Sequence[str]:
        """Return nothing: a bottleneck reads each token by itself."""
        return []

    def load_split(
        self, base: LoadedBase, folders: Mapping[str, Path], head: str, owners: TokenOwners
    ) -> LoadedBase:
        """Put several adapters onto a fresh base, of which each token's owner changes the token."""
        require_heads_alone(base, folders)
        loaded = self.load_stack(base, folders, head)
        for layer in tuner_layers(loaded.model).values():
            assert isinstance(layer, BottleneckLayer)
            layer.owners = owners
        return loaded

    def check_fusible(self, folders: Mapping[str, Path]) -> Sequence[str]:
        """Return nothing: whatever bottlenecks read, each adds to what its projection puts out."""
        return []

    def load_fusible(
        self, base: LoadedBase, folders: Mapping[str, Path], mixture: Callable[[int], nn.Module]
    ) -> None:
        """Put bottlenecks beside one another onto a fresh base; a mixture weighs what they add."""
        put_beside(base, {n: (_read(folder), folder) for n, folder in folders.items()}, mixture)

    def write_average(
        self,
        folders: Mapping[str, Path],
        weights: Mapping[str, float],
        heads: Mapping[str, float],
        folder: Path,
    ) -> None:
        """Write the bottleneck that is all of theirs side by side, exactly."""
        configs = {name: _read(folders[name]) for name in sorted(folders)}
        states = {name: read_state(folders[name]) for name in configs}
        config, state = side_by_side(configs, states, weights)
        answering = next(name for name in configs if heads[name])
        config.modules_to_save = list(whole_modules(folders[answering])) or None
        config.task_type = configs[answering].task_type
        state |= weighted_heads({name: folders[name] for name in configs}, heads)
        write_adapter(folder, config, state, {})

    def _wrapped(self, skeleton: LoadedBase, params: BottleneckParams) -> Any:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            return wrap(skeleton, _config(skeleton, params))


def _absent(base: LoadedBase, endings: Sequence[str]) -> list[str]:
    """Return what ends no module's name: PEFT passes it over as long as another one does."""
    names = [f".{name}" for name, _ in base.model.named_modules()]
    return [ending for ending in endings if not any(n.endswith(f".{ending}") for n in names)]


def _config(base: LoadedBase, params: BottleneckParams) -> BottleneckConfig:
    settings = params.model_dump(exclude={"layers"})
    layers = None if params.layers == "all" else params.layers
    return BottleneckConfig(
        task_type=TASK_TYPES[base.head.kind],
        layers_to_transform=layers,
        modules_to_save=list(base.new) or None,
        **settings,
    )


def _read(folder: Path) -> BottleneckConfig:
    """Read and judge an adapter's config; raises IntegrityError for what is not known."""
    saved = read_config(folder)
    known = {field.name for field in fields(BottleneckConfig)}
    strange = [key for key in saved if key not in known]
    if strange or saved.get("peft_type") != "BOTTLENECK":
        what = f"an unknown key {strange[0]!r}" if strange else "another method's name"
        raise IntegrityError(f"{CONFIG} has {what}")
    if any(saved.get(key) for key in INERT):
        raise CapabilityError(f"{CONFIG} has settings that are not supported")
    try:
        return BottleneckConfig(
            **{key: value for key, value in saved.items() if key != "peft_type"}
        )
    except (TypeError, ValueError) as error:
        raise IntegrityError(f"{CONFIG} does not parse: {error}") from error
