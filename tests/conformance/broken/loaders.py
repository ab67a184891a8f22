"""Loaders, each with one fault."""

from dataclasses import replace
from typing import Any, Final

import torch

from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite.specs import Head, LoaderSpec, Params, ResolvedBase
from adapterhub_lite_loaders import HalfParams
from adapterhub_lite_loaders.floating import Float32Loader
from tests.conformance.broken.entries import Broken


class Sound(Float32Loader):
    """A loader with nothing wrong, whatever its parameters are called."""

    def load(self, base: ResolvedBase, head: Head, params: Any, device: str) -> LoadedBase:
        """Load in 32 bits."""
        return super().load(base, head, HalfParams(), device)


class OldSignature(Sound):
    """Written for a version of the protocol with another argument."""

    def dequantise(self, base: LoadedBase, params: Params) -> LoadedBase:  # type: ignore[override]
        """Return the base."""
        return base


class Training(Sound):
    """Forgets eval()."""

    def load(self, base: ResolvedBase, head: Head, params: Any, device: str) -> LoadedBase:
        """Load in training mode."""
        loaded = super().load(base, head, params, device)
        loaded.model.train()
        return loaded


class DetachedHead(Sound):
    """Lets no gradient reach the new layers."""

    def load(self, base: ResolvedBase, head: Head, params: Any, device: str) -> LoadedBase:
        """Load, and detach what each new layer puts out."""
        loaded = super().load(base, head, params, device)
        loaded.model.requires_grad_(False)
        for name in loaded.new:
            loaded.model.get_submodule(name).register_forward_hook(_detached)
        return loaded


class OwnSeed(Sound):
    """Seeds the new layers itself."""

    def load(self, base: ResolvedBase, head: Head, params: Any, device: str) -> LoadedBase:
        """Load with the seed 0."""
        torch.manual_seed(0)
        return super().load(base, head, params, device)


class Noisy(Sound):
    """Puts random numbers where the files' weights should be."""

    def load(self, base: ResolvedBase, head: Head, params: Any, device: str) -> LoadedBase:
        """Load, and draw every matrix of the layers anew."""
        loaded = super().load(base, head, params, device)
        generator = torch.Generator().manual_seed(0)
        for name, value in loaded.model.named_parameters():
            if value.ndim == 2 and not name.startswith(loaded.new or ("-",)):
                value.data = 0.2 * torch.randn(value.shape, generator=generator)
        return loaded


class OtherWeights(Sound):
    """Dequantises to weights that it does not compute with."""

    def dequantise(self, base: LoadedBase) -> LoadedBase:
        """Return a copy with larger weights."""
        from copy import deepcopy

        model = deepcopy(base.model)
        for value in model.parameters():
            value.data *= 1.15
        return replace(base, model=model)


class AnyDevice(Sound):
    """Takes the CPU whatever was asked for."""

    def load(self, base: ResolvedBase, head: Head, params: Any, device: str) -> LoadedBase:
        """Load on the CPU."""
        return super().load(base, head, params, "cpu")


def _detached(module: Any, arguments: Any, output: torch.Tensor) -> torch.Tensor:
    return output.detach()


def _broken(fault: str, name: str, found: type, check: str, says: str, **more: Any) -> Broken:
    values: dict[str, Any] = {"bytes_per_parameter": 4, **more}
    spec = LoaderSpec(
        name=name,
        summary="A loader with one fault.",
        implementation=f"{__name__}:{found.__name__}",
        **values,
    )
    return Broken(fault=fault, kind="loader", spec=spec, check=check, says=says)


BROKEN: Final = (
    _broken(
        "the model is in training mode",
        "in-training",
        Training,
        "check_loads_every_head",
        "training mode",
    ),
    _broken(
        "the spec declares quantised, and nothing is",
        "not-quantised",
        Sound,
        "check_precision_is_as_declared",
        "quantised=True",
        quantised=True,
    ),
    _broken(
        "no gradient reaches a new head",
        "detached-head",
        DetachedHead,
        "check_new_layers_learn",
        "no gradient",
    ),
    _broken(
        "it seeds the new head itself",
        "own-seed",
        OwnSeed,
        "check_new_layers_come_from_the_seed",
        "another seed gives the same",
    ),
    _broken(
        "weights are random, not the files'",
        "noisy",
        Noisy,
        "check_weights_are_the_files",
        "of its length",
    ),
    _broken(
        "dequantise() gives other weights than it computes with",
        "other-weights",
        OtherWeights,
        "check_dequantises_what_it_computes_with",
        "answers of the dequantised model",
    ),
    _broken(
        "the spec declares half of the bytes that weights take",
        "half-the-memory",
        Sound,
        "check_memory_is_as_declared",
        "4.00 are taken",
        bytes_per_parameter=2,
    ),
    _broken(
        "it loads on the CPU when a GPU is asked for",
        "any-device",
        AnyDevice,
        "check_absent_gpu_is_refused",
        "'cuda'",
    ),
)
