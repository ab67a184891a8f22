"""Many LoRA adapters on one base, whose rows go through it together.

The base stays as it was loaded: hooks on its layers add to what they put out what the adapter of
each row makes of the same input. PEFT's own ``adapter_names`` takes one adapter after the other.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial, wraps
from pathlib import Path
from typing import Any, Final, cast

import torch
from peft.tuners.lora import LoraLayer
from peft.utils import ModulesToSaveWrapper
from torch import nn
from transformers.pytorch_utils import Conv1D

from adapterhub_lite.errors import CapabilityError, IntegrityError
from adapterhub_lite.protocols import LoadedBase, TokenOwners
from adapterhub_lite.specs import Head
from adapterhub_lite.transformer import empty_model
from adapterhub_lite.tuners.files import (
    State,
    peft_state,
    read_state,
    require_fit,
    saved_heads,
)
from adapterhub_lite.tuners.together import split_state, whole_modules
from adapterhub_lite.tuners.wrapping import wrap
from adapterhub_lite_peft.checks import reasons_of_names, reasons_of_sizes
from adapterhub_lite_peft.config import build_config
from adapterhub_lite_peft.files import read_params
from adapterhub_lite_peft.params import PeftParams
from adapterhub_lite_peft.rows import ByToken, Layout, Single, Update, Weights
from adapterhub_lite_peft.skeleton import undisturbed

UNDERSTOOD: Final = frozenset(
    {"r", "lora_alpha", "lora_dropout", "use_rslora", "rank_pattern", "alpha_pattern"}
    | {"target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"}
    | {"modules_to_save", "init_lora_weights", "loftq_config", "fan_in_fan_out"}
)
"""Settings of a plain LoRA, which may have any value; all others have to be PEFT's defaults."""
LEAVES_BASE: Final = (True, False, "gaussian", "orthogonal")
"""Initialisations that take nothing out of the base's weights."""
INSIDE: Final = "base_model.model."
"""What PEFT puts before the name of a base's module."""

NOT_HANDED_ON: Final = frozenset({"token_type_ids", "position_ids"})
"""Inputs that PEFT's model for question answering drops: adapters have learnt without them."""

_rows: ContextVar[Layout | Single | None] = ContextVar("rows", default=None)
"""Whose the rows are that go through a base now; each thread has its own."""


class LoraHost:
    """A base with hooks; implements :class:`~adapterhub_lite.protocols.AdapterHost`."""

    def __init__(self, base: LoadedBase) -> None:
        base.model.requires_grad_(False).eval()
        self._base = base
        self._hooked: set[str] = set()

    def add(self, head: Head, folder: Path) -> "LoraAdapter":
        """Read a plain LoRA of linear layers; raises CapabilityError for any other adapter."""
        skeleton = empty_model(self._base.path, head)
        weights, config = self._read(skeleton, read_params(folder), read_state(folder))
        return LoraAdapter(weights, self._model(config, partial(Single, weights)))

    def rows(self, adapters: Sequence[Any]) -> nn.Module:
        """Return what answers row i by ``adapters[i]``; to be called with that many rows."""
        layout = Layout([adapter.weights for adapter in adapters])
        return self._model(self._base.model.config, lambda: layout)

    def split(self, folders: Mapping[str, Path], head: str, owners: TokenOwners) -> "RowsModel":
        """Return what answers each token by its own adapter, and all by the layers of one head."""
        answering = self.add(self._base.head, folders[head])
        updates = [
            answering.weights.updates if name == head else self._updates(folder)
            for name, folder in folders.items()
        ]
        layout = ByToken(answering.weights.whole, updates, owners)
        model = self._model(answering.model.config, lambda: layout)
        for number, tensor in enumerate(layout.tensors()):
            # they are the model's own, and whoever asks for its size is to count them
            model.register_buffer(f"held{number}", tensor, persistent=False)
        return model

    def _updates(self, folder: Path) -> Mapping[str, Update]:
        """Read a LoRA without what it replaces whole."""
        params = read_params(folder)
        state, _ = split_state(read_state(folder), whole_modules(folder))
        # as a bare transformer: PEFT would give every classifier a head
        skeleton = replace(empty_model(self._base.path, self._base.head), new=(), head=Head())
        bare = params.model_copy(update={"modules_to_save": None})
        return self._read(skeleton, bare, state)[0].updates

    def _read(self, skeleton: LoadedBase, params: PeftParams, state: State) -> tuple[Weights, Any]:
        """Return an adapter's weights and its model's config; its layers add what it makes."""
        laid_out, config = lay_out(skeleton, params, state)
        weights = self._weights(laid_out, state)
        for name in weights.updates:
            self._hook(name, _add)
        for name in weights.whole:
            self._hook(name, _replace)
        return weights, config

    def _model(self, config: Any, rows: "Callable[[], Layout | Single]") -> "RowsModel":
        answers_questions = self._base.head.kind == "question-answering"
        dropped = NOT_HANDED_ON if answers_questions else frozenset[str]()
        return RowsModel(self._base.model, config, rows, dropped)

    def _weights(self, laid_out: nn.Module, state: State) -> Weights:
        device = next(self._base.model.parameters()).device
        updates, whole = {}, {}
        for name, module in laid_out.named_modules():
            inner = name.removeprefix(INSIDE)
            if isinstance(module, LoraLayer):
                updates[inner] = _update(name, state, module.scaling["default"], device)
            elif isinstance(module, ModulesToSaveWrapper):
                copy = module.modules_to_save["default"]
                whole[inner] = _filled(copy, name, state, device)
        return Weights(updates, whole)

    def _hook(self, name: str, act: "Callable[..., Any]") -> None:
        if name not in self._hooked:
            self._hooked.add(name)
            self._base.model.get_submodule(name).register_forward_hook(partial(act, name))


def _add(name: str, module: nn.Module, given: tuple[Any, ...], output: Any) -> Any:
    rows = _rows.get()
    return None if rows is None else rows.add(name, given[0], output)


def _replace(name: str, module: nn.Module, given: tuple[Any, ...], output: Any) -> Any:
    rows = _rows.get()
    return None if rows is None else rows.replace(name, given, output)


class RowsModel(nn.Module):
    """A base as it answers with adapters; whatever else is asked of it the base tells."""

    def __init__(
        self,
        base: nn.Module,
        config: Any,
        rows: "Callable[[], Layout | Single]",
        dropped: frozenset[str],
    ) -> None:
        super().__init__()
        self.base = base
        self.config = config
        self._rows, self._dropped = rows, dropped
        self.training = False

    def train(self, mode: bool = True) -> "RowsModel":
        """Stay as it is: whoever answers changes the mode with every batch, module by module."""
        return self

    @property
    def forward(self) -> "Callable[..., Any]":  # type: ignore[override]
        """The base's forward, of its signature: callers look up there which inputs it reads."""

        @wraps(self.base.forward)
        def answer(*args: Any, **kwargs: Any) -> Any:
            given = {key: kwargs[key] for key in kwargs if key not in self._dropped}
            with self._answering():
                return self.base(*args, **given)

        return answer

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """Write, as transformers' models do."""
        with self._answering():
            return cast("Any", self.base).generate(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("base"), name)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        token = _rows.set(self._rows())
        try:
            yield
        finally:
            _rows.reset(token)


@dataclass(frozen=True, slots=True)
class LoraAdapter:
    """A LoRA on a host's base; implements :class:`~adapterhub_lite.protocols.HeldAdapter`."""

    weights: Weights
    model: RowsModel

    @property
    def nbytes(self) -> int:
        """The bytes of its factors and of the modules that it replaces whole."""
        tensors = [t for update in self.weights.updates.values() for t in (update.down, update.up)]
        for module in self.weights.whole.values():
            tensors += [*module.parameters(), *module.buffers()]
        return sum(tensor.nbytes for tensor in tensors)


def lay_out(skeleton: LoadedBase, params: PeftParams, state: State) -> tuple[nn.Module, Any]:
    """Return a base without weights as PEFT wraps it, and its config.

    So PEFT itself says which layers an adapter has, and at which scale.
    """
    _refuse_special(params)
    # plain LoRA made of PiSSA has twice its rank
    reasons = [*reasons_of_sizes(skeleton, params, slack=2), *reasons_of_names(skeleton, params)]
    if reasons:
        raise IntegrityError(f"the adapter does not fit this base: {reasons[0]}")
    config = build_config(replace(skeleton, new=saved_heads(skeleton, state)), params)
    config.init_lora_weights = False
    with undisturbed(), torch.device("meta"):
        wrapped = wrap(skeleton, config)
    require_fit(peft_state(wrapped), state)
    for name, module in wrapped.named_modules():
        if isinstance(module, LoraLayer):
            _require_linear(name, module)
    return wrapped, wrapped.config


def _refuse_special(params: PeftParams) -> None:
    if params.peft_type != "LORA":
        raise CapabilityError(f"rows of different {params.peft_type} adapters share no pass")
    if special := special_settings(params):
        raise CapabilityError(f"rows of a LoRA with {special[0]} share no pass with others")


def special_settings(params: PeftParams) -> list[str]:
    """Return the settings by which a LoRA is no plain one."""
    settings = params.model_dump()
    defaults = type(params)().model_dump()
    special = [n for n in settings if n not in UNDERSTOOD and settings[n] != defaults[n]]
    if settings["init_lora_weights"] not in LEAVES_BASE:
        special.append("init_lora_weights")
    return special


def _require_linear(name: str, layer: LoraLayer) -> None:
    if not isinstance(layer.get_base_layer(), nn.Linear | Conv1D):
        kind = type(layer.get_base_layer()).__name__
        raise CapabilityError(f"{name} is a {kind}: rows of a LoRA share a pass in linear layers")


def _update(name: str, state: State, scale: float, device: torch.device) -> Update:
    down, up = (state[f"{name}.lora_{factor}.weight"].to(device) for factor in "AB")
    if not down.is_floating_point() or down.itemsize < 4:
        # PEFT computes with adapters of 16 bits in 32, too
        down, up = down.float(), up.float()
    return Update(down.contiguous(), (up.T * scale).contiguous())


def _filled(copy: nn.Module, name: str, state: State, device: torch.device) -> nn.Module:
    """Return a module that an adapter replaces whole, with the adapter's weights."""
    if dict(copy.named_buffers()):
        raise CapabilityError(f"{name} has buffers, and rows share no pass in it")
    own = {
        key.removeprefix(f"{name}."): value.to(device)
        for key, value in state.items()
        if key.startswith(f"{name}.")
    }
    copy.load_state_dict(own, strict=True, assign=True)
    return copy.requires_grad_(False).eval()
