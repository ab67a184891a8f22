"""Methods, each a sound one of PEFT with one fault."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file
from torch import nn

from adapterhub_lite.architecture import Architecture
from adapterhub_lite.errors import CapabilityError, IntegrityError
from adapterhub_lite.protocols import Attached, LoadedBase, TokenOwners
from adapterhub_lite.specs import Head
from adapterhub_lite.transformer import empty_model
from adapterhub_lite_peft.method import PeftMethod
from adapterhub_lite_peft.mixed import LoraHost

UNUSED: Final = 4
"""A token that no row has: what happens to its embedding changes no answer."""


class LateRefusal(PeftMethod):
    """Refuses when the weights are loaded."""

    def attach(self, base: LoadedBase, params: Any) -> Attached:
        """Refuse encoders."""
        if not base.model.config.is_decoder:
            raise CapabilityError("this method is for decoders")
        return super().attach(base, params)


class RefusesAll(PeftMethod):
    """Takes no base that its spec declares."""

    def check(self, architecture: Architecture, head: Head, params: Any) -> Sequence[str]:
        """Refuse."""
        return ["this version of the method is for vision models"]


class Miscounts(PeftMethod):
    """Forgets the head when it counts."""

    def count_trainable(self, architecture: Architecture, head: Head, params: Any) -> int:
        """Count the adapter alone."""
        return super().count_trainable(architecture, head, params) - 99


class ForgetsToFreeze(PeftMethod):
    """Leaves a gradient on an embedding."""

    def attach(self, base: LoadedBase, params: Any) -> Attached:
        """Attach, and let an embedding require a gradient that is not named."""
        attached = super().attach(base, params)
        _embedding(attached.model).requires_grad_(True)
        return attached


class FreezesTheHead(PeftMethod):
    """Lets the adapter learn, and not the head."""

    def attach(self, base: LoadedBase, params: Any) -> Attached:
        """Attach, and freeze the head."""
        attached = super().attach(base, params)
        for name, value in attached.model.named_parameters():
            if ".modules_to_save." in name:
                value.requires_grad_(False)
        names = frozenset(name for name in attached.trainable if ".modules_to_save." not in name)
        return replace(attached, trainable=names)

    def count_trainable(self, architecture: Architecture, head: Head, params: Any) -> int:
        """Count without the head."""
        empty = empty_model(architecture.folder, head)
        modules = [empty.model.get_submodule(name) for name in empty.new]
        heads = sum(value.numel() for module in modules for value in module.parameters())
        return super().count_trainable(architecture, head, params) - heads


class WritesToTheBase(PeftMethod):
    """Changes a weight of the base as it attaches."""

    def attach(self, base: LoadedBase, params: Any) -> Attached:
        """Zero an embedding."""
        _embedding(base.model).data[UNUSED] = 0
        return super().attach(base, params)


class TrainsTheBase(PeftMethod):
    """Changes a weight of the base in each step."""

    def attach(self, base: LoadedBase, params: Any) -> Attached:
        """Attach, with a hook that writes to an embedding."""
        attached = super().attach(base, params)

        def on_step(step: int) -> None:
            _embedding(attached.model).data[UNUSED] += 0.1

        return replace(attached, on_step=on_step)


class GoesUphill(PeftMethod):
    """Turns its gradients round."""

    def attach(self, base: LoadedBase, params: Any) -> Attached:
        """Attach, and hook each parameter."""
        attached = super().attach(base, params)
        for name, value in attached.model.named_parameters():
            if name in attached.trainable:
                value.register_hook(torch.neg)
        return attached


class DrawsElsewhere(PeftMethod):
    """Draws from the operating system."""

    def attach(self, base: LoadedBase, params: Any) -> Attached:
        """Attach with weights that no seed decides."""
        torch.manual_seed(int.from_bytes(os.urandom(4), "big"))
        return super().attach(base, params)


class LosesScale(PeftMethod):
    """Forgets a setting that no shape tells."""

    def load(self, base: LoadedBase, folder: Path) -> LoadedBase:
        """Load with twice the scale."""
        loaded = super().load(base, folder)
        for name, value in loaded.model.named_parameters():
            if ".lora_B." in name:
                value.data *= 2
        return loaded


class Pickles(PeftMethod):
    """Keeps a pickle beside its files."""

    def save(self, attached: Attached, folder: Path) -> None:
        """Save, and pickle the names."""
        super().save(attached, folder)
        torch.save(sorted(attached.trainable), folder / "names.bin")


class NamesThePlace(PeftMethod):
    """Writes where the base lies on this machine."""

    def save(self, attached: Attached, folder: Path) -> None:
        """Save, with a note."""
        super().save(attached, folder)
        (folder / "base.json").write_text(f'{{"base": "{attached.path}"}}', encoding="utf-8")


class SavesTheBase(PeftMethod):
    """Saves the base's embeddings too."""

    def save(self, attached: Attached, folder: Path) -> None:
        """Save, with the embeddings."""
        super().save(attached, folder)
        save_file({"words": _embedding(attached.model).data.clone()}, folder / "words.safetensors")


class LoadsAnything(PeftMethod):
    """Loads what there is."""

    def load(self, base: LoadedBase, folder: Path) -> LoadedBase:
        """Load, or leave the base as it is."""
        try:
            return super().load(base, folder)
        except IntegrityError:
            return base


class StartsElsewhere(PeftMethod):
    """Starts with a change."""

    def attach(self, base: LoadedBase, params: Any) -> Attached:
        """Attach, and move the factor that should be zero."""
        attached = super().attach(base, params)
        for name, value in attached.model.named_parameters():
            if ".lora_B." in name:
                value.data += 0.01
        return attached


class BakesRoughly(PeftMethod):
    """Bakes something else."""

    def bake(self, base: LoadedBase, folder: Path) -> LoadedBase:
        """Bake, and round to eight bits."""
        baked = super().bake(base, folder)
        for value in baked.model.parameters():
            value.data = value.data.bfloat16().float()
        return baked


class BakesUnasked(PeftMethod):
    """Bakes, though its spec does not say so."""


class CountsPasses(PeftMethod):
    """Computes otherwise the second time."""

    def attach(self, base: LoadedBase, params: Any) -> Attached:
        """Attach, with a layer that counts how often it is called in training."""
        passes = 0

        def grow(module: Any, arguments: Any, output: torch.Tensor) -> torch.Tensor:
            nonlocal passes
            passes += module.training
            return output * (1 + 0.1 * passes) if module.training else output

        base.model.get_submodule("bert.encoder.layer.1.output.dense").register_forward_hook(grow)
        return super().attach(base, params)


class NeedsFloats(PeftMethod):
    """Declares quantised bases, and takes none."""

    def attach(self, base: LoadedBase, params: Any) -> Attached:
        """Refuse a quantised base."""
        if base.quantised:
            raise CapabilityError("the base's weights are no floats")
        return super().attach(base, params)


class StaysOn(PeftMethod):
    """Cannot be switched off."""

    def attach(self, base: LoadedBase, params: Any) -> Attached:
        """Attach, with a switch that does nothing."""
        attached = super().attach(base, params)
        attached.model.disable_adapter = nullcontext
        return attached


class StacksOne(PeftMethod):
    """Puts the first of several adapters on."""

    def load_stack(self, base: LoadedBase, folders: Mapping[str, Path], head: str) -> LoadedBase:
        """Load one."""
        return self.load(base, next(iter(folders.values())))


class FusesBackwards(PeftMethod):
    """Hands a mixture the adapters in another order than they are named in."""

    def load_fusible(
        self, base: LoadedBase, folders: Mapping[str, Path], mixture: Callable[[int], nn.Module]
    ) -> None:
        """Load with that fault."""
        super().load_fusible(base, dict(reversed(folders.items())), mixture)


class SplitsNothing(PeftMethod):
    """Lets the first adapter own every token."""

    def load_split(
        self, base: LoadedBase, folders: Mapping[str, Path], head: str, owners: TokenOwners
    ) -> LoadedBase:
        """Load with owners of its own."""
        return super().load_split(base, folders, head, lambda *given: owners(*given) * 0)


class OneForAll(PeftMethod):
    """Answers all rows by the first row's adapter."""

    def host(self, base: LoadedBase) -> Any:
        """Return a host with that fault."""
        return _FirstOnly(base)


class _FirstOnly(LoraHost):
    def rows(self, adapters: Sequence[Any]) -> Any:
        return super().rows([adapters[0]] * len(adapters))


class WeighsByPlace(PeftMethod):
    """Gives the smallest weight to the first adapter, whichever that is."""

    def write_average(
        self,
        folders: Mapping[str, Path],
        weights: Mapping[str, float],
        heads: Mapping[str, float],
        folder: Path,
    ) -> None:
        """Write an average with the weights in an order of their own."""
        placed = dict(zip(folders, sorted(weights.values()), strict=True))
        super().write_average(folders, placed, heads, folder)


def _embedding(model: Any) -> torch.nn.Parameter:
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    weight: torch.nn.Parameter = inner.get_input_embeddings().weight
    return weight
