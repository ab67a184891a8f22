"""The tuner layer: an output projection and the bottleneck adapters behind or beside it."""

from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from threading import get_ident
from typing import Any, Final

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers.activations import ACT2FN
from transformers.pytorch_utils import Conv1D

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.protocols import TokenOwners
from adapterhub_lite_bottleneck.config import BottleneckConfig
from adapterhub_lite_bottleneck.styles import Reads

BASE_ROW: Final = "__base__"
"""PEFT's name, in a mixed batch, for a row that no adapter changes."""

row_adapters: ContextVar[Sequence[str] | None] = ContextVar("row_adapters", default=None)
"""Which adapter each row of the running batch takes; in this thread only."""

Heard = Mapping[Reads, Tensor]
"""What modules around the wrapped layer were given in the running pass, by what it is read as."""


@dataclass(frozen=True, slots=True)
class Source:
    """What an adapter reads, and the modules that tell it.

    ``listened`` is given what is read beside the projection's output: the sub-layer's input, or
    what the residual connection adds. ``norm`` is the LayerNorm behind the sub-layer, if any.
    """

    reads: Reads
    listened: nn.Module | None = None
    norm: nn.Module | None = None


class BottleneckLayer(nn.Module, BaseTunerLayer):
    """Wraps a linear layer ``y = base(z)`` that ends a sub-layer of a transformer.

    An adapter makes ``y + scaling * up(act(down(x)))`` of it, before the base's own dropout,
    residual ``r`` and LayerNorm. It reads ``x``: the projection's ``y`` itself; the sub-layer's
    output ``LayerNorm(y + r)``, or ``y + r`` where no norm follows; the input of the whole
    sub-layer; or ``r``. ``up`` starts at zero, so a fresh adapter changes nothing. Several active
    adapters are applied in their order: a stack.

    Papers: https://arxiv.org/abs/1902.00751, https://arxiv.org/abs/2005.00247,
    https://arxiv.org/abs/2110.04366.
    """

    # PEFT takes an adapter's name out of a key only where it stands last but one
    # ("bottleneck_down.<name>.weight"), so a module per adapter with both inside would not reload.
    adapter_layer_names = ("bottleneck_down", "bottleneck_up")
    other_param_names = ("bottleneck_act", "scaling", "sources")

    def __init__(self, base_layer: nn.Module, name: str) -> None:
        """Wrap ``base_layer``, called ``name``; raises CapabilityError when it is not linear."""
        super().__init__()
        self.base_layer = base_layer
        self.name = name
        self.out_features = linear_features(self.get_base_layer(), name)[0]
        self.bottleneck_down = nn.ModuleDict()
        self.bottleneck_up = nn.ModuleDict()
        self.bottleneck_act = nn.ModuleDict()
        # tells which of the active adapters each token takes; without it a token takes all
        self.owners: TokenOwners | None = None
        self.mixture: nn.Module | None = None
        """What weighs the active adapters' changes, all of the same; else one follows another."""
        self.scaling: dict[str, float] = {}
        self.sources: dict[str, Source] = {}
        self.merged_adapters = []
        self._disable_adapters = False
        # by thread: two threads may run one model, and each has to read its own batch
        self._heard: dict[int, dict[Reads, Tensor]] = {}
        self._hooks: dict[Reads, Any] = {}

    def update_layer(self, adapter_name: str, config: BottleneckConfig, source: Source) -> None:
        """Add an adapter that reads ``source``."""
        in_features = self.out_features
        if source.reads == "input":
            assert source.listened is not None
            in_features = linear_features(source.listened, self.name)[1]
        self._listen(source)
        width = config.width(self.out_features)
        down, up = nn.Linear(in_features, width), nn.Linear(width, self.out_features)
        nn.init.zeros_(down.bias)
        nn.init.zeros_(up.weight)
        nn.init.zeros_(up.bias)
        self.bottleneck_down[adapter_name] = down
        self.bottleneck_up[adapter_name] = up
        self.bottleneck_act[adapter_name] = nn.Sequential(
            ACT2FN[config.non_linearity], nn.Dropout(config.dropout)
        )
        assert config.scaling is not None  # a config fills in its style's
        self.scaling[adapter_name] = config.scaling
        self.sources[adapter_name] = source
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return the sub-layer's output, shape and dtype as the base layer gives them.

        Raises CapabilityError when the rows of a mixed batch are not the rows of ``x``.
        """
        # taken before anything is computed: a recomputation of gradient checkpointing stops as
        # soon as it has what it needs, and what it left here would keep its graph alive
        heard = self._heard.pop(get_ident(), {})
        y: Tensor = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters:
            return y
        names = row_adapters.get()
        if names is not None:
            return self._adapt_by_row(names, y, heard)
        if self.owners is not None:
            return self._adapt_by_token(self.owners(self.name, y), y, heard)
        if self.mixture is not None:
            return self._adapt_by_mixture(self.mixture, y, heard).to(y.dtype)
        return self._adapt(self.active_adapters, y, heard).to(y.dtype)

    def _adapt(self, names: Iterable[str], y: Tensor, heard: Heard) -> Tensor:
        for name in names:
            if name in self.bottleneck_down:
                y = y + self._change(name, y, heard)
        return y

    def _change(self, name: str, y: Tensor, heard: Heard) -> Tensor:
        x = self._read(self.sources[name], y, heard)
        down, up = self.projections(name)
        hidden = self.bottleneck_act[name](down(self._cast_input_dtype(x, down.weight.dtype)))
        change: Tensor = up(hidden) * self.scaling[name]
        return change

    def _read(self, source: Source, y: Tensor, heard: Heard) -> Tensor:
        """Return what an adapter reads; ``y`` has the changes of those before it."""
        if source.reads == "projection":
            return y
        if source.reads not in heard:
            raise CapabilityError(
                f"the adapter at {self.name!r} did not see its sub-layer's input: the module that "
                "reads it was replaced or left out",
                hint="attach the adapter after everything else that changes the model",
            )
        if source.reads != "sublayer":
            return heard[source.reads]
        total = y + heard["sublayer"]
        return total if source.norm is None else source.norm(total)

    def projections(self, name: str) -> tuple[nn.Linear, nn.Linear]:
        """Return an adapter's ``down`` and ``up``; KeyError when this layer has none."""
        down, up = self.bottleneck_down[name], self.bottleneck_up[name]
        assert isinstance(down, nn.Linear)
        assert isinstance(up, nn.Linear)
        return down, up

    def _adapt_by_row(self, names: Sequence[str], y: Tensor, heard: Heard) -> Tensor:
        if len(names) != len(y):
            raise CapabilityError(
                f"{len(names)} adapter names for {len(y)} rows at {self.name!r}",
                hint="this model reorders rows inside, or beams repeat them: run one adapter "
                "at a time",
            )
        for name in dict.fromkeys(names):
            if name == BASE_ROW or name not in self.bottleneck_down:
                continue
            rows = torch.tensor([row for row, own in enumerate(names) if own == name])
            rows = rows.to(y.device)
            changed = self._adapt([name], y[rows], {key: x[rows] for key, x in heard.items()})
            y = y.index_copy(0, rows, changed.to(y.dtype))
        return y

    def _adapt_by_token(self, owners: Tensor, y: Tensor, heard: Heard) -> Tensor:
        adapted = y
        for number, name in enumerate(self.active_adapters):
            own = (owners == number).unsqueeze(-1)
            adapted = torch.where(own, self._adapt([name], y, heard).to(y.dtype), adapted)
        return adapted

    def _adapt_by_mixture(self, mixture: nn.Module, y: Tensor, heard: Heard) -> Tensor:
        changes = [
            self._change(name, y, heard) if name in self.bottleneck_down else torch.zeros_like(y)
            for name in self.active_adapters
        ]
        added: Tensor = mixture(y, torch.stack(changes, -2))
        return y + added

    def _listen(self, source: Source) -> None:
        if source.listened is None or source.reads in self._hooks:
            return
        remember = partial(self._remember, source.reads)
        self._hooks[source.reads] = source.listened.register_forward_pre_hook(remember)

    def _remember(self, reads: Reads, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        if not self.disable_adapters and any(s.reads == reads for s in self.sources.values()):
            self._heard.setdefault(get_ident(), {})[reads] = args[0]

    def unload_and_optionally_merge_module(
        self, merge: bool, safe_merge: bool, adapter_names: list[str] | None
    ) -> nn.Module:
        """Return the base layer as it was; raises CapabilityError when it is to be merged."""
        if merge:
            self.merge(safe_merge, adapter_names)
        for hook in self._hooks.values():
            hook.remove()
        return self.get_base_layer()

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Raise CapabilityError: a non-linear function is no change of a weight."""
        raise unmergeable()

    def unmerge(self) -> None:
        """Raise CapabilityError: nothing was merged."""
        raise unmergeable()


def unmergeable() -> CapabilityError:
    """Return the error for every attempt to merge."""
    return CapabilityError(
        "a bottleneck adapter is non-linear and cannot be merged into the base",
        hint="keep the adapter beside the base, or train a LoRA, which can be merged",
    )


def linear_features(layer: nn.Module, name: str) -> tuple[int, int]:
    """Return (out, in) features of a linear layer, quantised or not.

    Raises CapabilityError for another kind of module.
    """
    if isinstance(layer, BaseTunerLayer):
        layer = layer.get_base_layer()
    if isinstance(layer, Conv1D):
        return int(layer.nf), int(layer.nx)
    if isinstance(layer, nn.Linear):  # bitsandbytes' layers are such too
        return layer.out_features, layer.in_features
    raise CapabilityError(
        f"a bottleneck adapter cannot be attached to {name!r}, a {type(layer).__name__}",
        hint="name linear layers in target_modules",
    )
