"""LoRAs beside one another on one base, whose updates something else weighs in each layer.

The base stays as it was loaded: hooks on its layers add to what they put out, as in
:mod:`~adapterhub_lite_peft.mixed`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite.specs import Head
from adapterhub_lite.transformer import empty_model
from adapterhub_lite.tuners.beside import body_state
from adapterhub_lite_peft.files import read_params
from adapterhub_lite_peft.mixed import INSIDE, lay_out

NAMED_OTHERWISE: Final = dict.fromkeys(
    ("modules_to_save", "exclude_modules", "layers_to_transform", "layers_pattern")
)
"""Settings by which a LoRA has more modules, or fewer, than those that it is told by name."""
Factors = tuple[Tensor, Tensor]
"""A LoRA's A (rank, inputs) and B (outputs, rank) in a layer; the scale is within B."""


class Beside(nn.Module):
    """The LoRAs of one linear layer; one that leaves it alone is of rank 0."""

    def __init__(self, factors: Sequence[Factors]) -> None:
        super().__init__()
        self.ranks = [len(down) for down, _ in factors]
        self.register_buffer("down", torch.cat([down for down, _ in factors]), persistent=False)
        for number, (_, up) in enumerate(factors):
            self.register_buffer(f"up{number}", up, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return what each makes of the layer's input (…, inputs): (…, adapters, outputs)."""
        down = self.get_buffer("down")
        parts = torch.split(nn.functional.linear(x.to(down.dtype), down), self.ranks, -1)
        ups = (self.get_buffer(f"up{number}") for number in range(len(self.ranks)))
        made = [nn.functional.linear(part, up) for part, up in zip(parts, ups, strict=True)]
        return torch.stack(made, -2)


def fuse(
    base: LoadedBase, folders: Mapping[str, Path], mixture: Callable[[int], nn.Module]
) -> None:
    """Put plain LoRAs beside one another onto a base, as ``load_fusible`` says."""
    adapters = [_factors(base, name, folder) for name, folder in folders.items()]
    device = next(base.model.parameters()).device
    base.model.requires_grad_(False)
    for place, layer in list(base.model.named_modules()):
        present = [own[place] for own in adapters if place in own]
        if not present:
            continue
        down, up = present[0]
        nothing = (down[:0], up[:, :0])
        factors = [own.get(place, nothing) for own in adapters]
        layer.beside = Beside(factors).to(device)
        layer.mixture = mixture(len(up)).to(device)
        layer.register_forward_hook(_add)


def _add(layer: Any, given: tuple[Any, ...], output: Tensor) -> Tensor:
    added: Tensor = layer.mixture(output, layer.beside(given[0]))
    return (output + added).to(output.dtype)


def _factors(base: LoadedBase, name: str, folder: Path) -> dict[str, Factors]:
    """Read a LoRA without its head; PEFT itself says at which scale its layers are."""
    state = body_state(base, name, folder)
    # by its settings it would adapt layers of a head that it has replaced whole
    places = sorted({key.removeprefix(INSIDE).rsplit(".", 2)[0] for key in state})
    params = read_params(folder).model_copy(update={**NAMED_OTHERWISE, "target_modules": places})
    # to PEFT it is a bare transformer: of a classifier it would train the head as well
    skeleton = replace(empty_model(base.path, base.head), head=Head(), new=())
    wrapped, _ = lay_out(skeleton, params, state)
    found = {}
    for place, module in wrapped.named_modules():
        if isinstance(module, LoraLayer):
            # PEFT computes with adapters of 16 bits in 32, too
            down, up = (state[f"{place}.lora_{factor}.weight"].float() for factor in "AB")
            found[place.removeprefix(INSIDE)] = (down, up * module.scaling["default"])
    return found
