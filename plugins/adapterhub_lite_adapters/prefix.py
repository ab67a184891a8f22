"""A prefix of AdapterHub becomes PEFT's, with the embeddings of positions moved by its length.

PEFT counts a prefix as positions that the text comes after; AdapterHub does not. So the table of
position embeddings is saved with the adapter, each row so much further on: the text gets the same
embeddings as before. A network that makes the prefix is run once, and its output kept.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from transformers.activations import ACT2FN

from adapterhub_lite.architecture import TensorInfo
from adapterhub_lite.errors import CapabilityError, IntegrityError
from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite.tuners.files import State
from adapterhub_lite_adapters.configs import About, Prefix, activation
from adapterhub_lite_adapters.translating import PROMPT, Translated, require_shape, stranger

MODELS: Final = ("bert", "roberta", "xlm-roberta")
"""Encoders whose text has embeddings of absolute positions, and nothing else that counts them."""
POSITIONS: Final = "position_embeddings"
FLAT: Final = "control_trans"
_TENSOR: Final = re.compile(
    r"(?:[\w.]{1,300}\.)?prefix_tuning\.(?:pool\.)?prefix_tunings\.(?P<name>.{1,200})"
    r"\.self_prefix\.(?P<part>control_trans|wte\.weight|control_trans\.[02]\.(?:weight|bias))"
)
"""Each layer saves the whole prefix again, under its own name."""


def translate(
    about: About, config: Prefix, tensors: Mapping[str, TensorInfo], model: Any
) -> Translated:
    """Check the prefix's tensors against a base without weights.

    Raises CapabilityError for what has no equal, IntegrityError for other shapes.
    """
    if about.model_type not in MODELS or config.leave_out:
        what = "that leaves layers out" if config.leave_out else f"on a {about.model_type!r} model"
        raise CapabilityError(
            f"a prefix {what} computes otherwise than PEFT's",
            hint=f"prefixes of all layers are imported, on {', '.join(MODELS)}",
        )
    expected = _shapes(config, model.config)
    parts: dict[str, list[str]] = {part: [] for part in expected}
    for name, info in tensors.items():
        found = _TENSOR.fullmatch(name)
        if found is None or found["name"] != about.name or found["part"] not in expected:
            raise stranger(name)
        require_shape(name, info.shape, expected[found["part"]])
        parts[found["part"]].append(name)
    if lacking := [part for part, names in parts.items() if not names]:
        raise CapabilityError(f"the prefix lacks its {lacking[0]}")

    function = ACT2FN[activation(config.non_linearity)]

    def fill(state: State, base: LoadedBase) -> State:
        own = {part: _the_one(names, state) for part, names in parts.items()}
        made = own[FLAT] if config.flat else _made(own, function)
        return {
            "prompt_embeddings": made.reshape(config.prefix_length, -1).contiguous(),
            **_moved_positions(base.model, config.prefix_length),
        }

    params = {"num_virtual_tokens": config.prefix_length, "modules_to_save": [POSITIONS]}
    return Translated("prefix", params, fill, PROMPT)


def _shapes(config: Prefix, base: Any) -> dict[str, tuple[int, ...]]:
    hidden, length = base.hidden_size, config.prefix_length
    numbers = base.num_hidden_layers * 2 * hidden
    if config.flat:
        return {FLAT: (length * numbers,)}
    return {
        "wte.weight": (length, hidden),
        "control_trans.0.weight": (config.bottleneck_size, hidden),
        "control_trans.0.bias": (config.bottleneck_size,),
        "control_trans.2.weight": (numbers, config.bottleneck_size),
        "control_trans.2.bias": (numbers,),
    }


def _the_one(names: list[str], state: State) -> torch.Tensor:
    """Return a tensor that stands under several names; IntegrityError where they differ."""
    first = state[names[0]]
    if not all(torch.equal(state[name], first) for name in names[1:]):
        raise IntegrityError(f"{names[0][:200]!r} differs from the same tensor of another layer")
    return first.float()


def _made(own: State, function: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Return what the network makes of its embeddings: (length, layers * 2 * hidden)."""
    inner = own["wte.weight"] @ own["control_trans.0.weight"].T + own["control_trans.0.bias"]
    return function(inner) @ own["control_trans.2.weight"].T + own["control_trans.2.bias"]


def _moved_positions(model: Any, length: int) -> State:
    """Return the table of position embeddings with each row ``length`` further on."""
    (name,) = (name for name, _ in model.named_modules() if name.endswith(f".{POSITIONS}"))
    table = model.get_submodule(name).weight.detach()
    moved = table.clone()
    moved[length:] = table[:-length]
    return {f"{PROMPT}{name}.weight": moved}
