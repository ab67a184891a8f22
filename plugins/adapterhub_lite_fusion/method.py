"""AdapterFusion as a method: what learns is an attention over adapters that are frozen."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adapterhub_lite.architecture import Architecture
from adapterhub_lite.errors import AdapterHubError, CapabilityError
from adapterhub_lite.protocols import Attached, FusibleMethod, LoadedBase
from adapterhub_lite.specs import Head
from adapterhub_lite.transformer import empty_model
from adapterhub_lite.tuners.selected import load_trained, save_trained, train_only
from adapterhub_lite_fusion import FusionParams
from adapterhub_lite_fusion.attention import blocks_of
from adapterhub_lite_fusion.block import FusionBlock
from adapterhub_lite_fusion.files import read_members, write_members


class Fusion:
    """AdapterFusion (Pfeiffer et al., 2021, https://arxiv.org/abs/2005.00247)."""

    def __init__(self, methods: Callable[[str], FusibleMethod]) -> None:
        """Take what finds the implementation of the adapters' method by its name."""
        self._methods = methods

    def check(self, architecture: Architecture, head: Head, params: FusionParams) -> Sequence[str]:
        """Try it on the base without its weights, and say what does not fit."""
        first, *others = params.adapters
        if other := next((one for one in others if one.method != first.method), None):
            return [
                f"{first.ref} is of the method {first.method} and {other.ref} of {other.method}; "
                "adapters of one method are fused"
            ]
        members = _members(params)
        if len(members) < len(params.adapters):
            return ["an adapter is named twice"]
        if reasons := self._methods(first.method).check_fusible(members):
            return reasons
        try:
            self.count_trainable(architecture, head, params)
        except AdapterHubError as error:
            return [f"{error.message} ({error.hint})" if error.hint else error.message]
        return []

    def count_trainable(self, architecture: Architecture, head: Head, params: FusionParams) -> int:
        """Count on the base without its weights: the attention's parameters and the head's."""
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            attached = self.attach(empty_model(architecture.folder, head), params)
        return sum(value.numel() for value in attached.model.parameters() if value.requires_grad)

    def attach(self, base: LoadedBase, params: FusionParams) -> Attached:
        """Put the adapters onto a loaded base; what is drawn comes from torch's global generator.

        Raises CapabilityError and IntegrityError for adapters that do not fit it.
        """
        self._fuse(base, params.adapters[0].method, _members(params))
        attached = train_only(base, _chooses(base.model))
        if params.regularization:
            blocks = [block for _, block in blocks_of(base.model)]
            attached.penalty = partial(_penalty, blocks, params.regularization)
        return attached

    def save(self, attached: Attached, folder: Path) -> None:
        """Write what was learnt, the members' files, and ``fusion.json``; and the tokenizer."""
        save_trained(attached, folder)
        model: Any = attached.model
        write_members(folder, model.fused_method, model.fused_members)

    def load(self, base: LoadedBase, folder: Path) -> LoadedBase:
        """Put the members and what was learnt onto a fresh base; IntegrityError unless they fit."""
        method, members = read_members(folder)
        with torch.random.fork_rng(devices=[]):
            self._fuse(base, method, members)
        return load_trained(base, folder, _chooses(base.model))

    def bake(self, base: LoadedBase, folder: Path) -> LoadedBase:
        """Refuse: the weights of the adapters depend on the input."""
        raise CapabilityError(
            "a fusion weighs its adapters anew for each token, which no weight of the base can",
            hint="it is served beside its base",
        )

    def _fuse(self, base: LoadedBase, method: str, members: Mapping[str, Path]) -> None:
        model: Any = base.model
        self._methods(method).load_fusible(base, members, FusionBlock)
        model.fused_method, model.fused_members = method, dict(members)


def _members(params: FusionParams) -> dict[str, Path]:
    return {adapter.ref: adapter.folder for adapter in params.adapters}


def _chooses(model: nn.Module) -> Callable[[str, nn.Parameter], bool]:
    own = {id(value) for _, block in blocks_of(model) for value in block.parameters()}
    return lambda name, value: id(value) in own


def _penalty(blocks: Sequence[FusionBlock], factor: float) -> Tensor:
    return factor * torch.stack([block.distance() for block in blocks]).sum()
