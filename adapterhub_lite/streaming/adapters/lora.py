"""LoRA: ΔW = s·B·A for the weights that a file of PEFT's names (Hu et al., 2021).

s = alpha/r, or alpha/√r (rank-stabilised: Kalajdzievski, 2023); patterns give single modules
another rank or alpha. A bias of B is added to the layer's bias, times s.
"""

import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import torch

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.streaming.adapters.changes import Added, Change, Load, LowRank
from adapterhub_lite.streaming.adapters.dora import Dora
from adapterhub_lite.streaming.adapters.files import AdapterFiles
from adapterhub_lite.streaming.adapters.orientation import is_transposed
from adapterhub_lite.streaming.headers import StoredTensor

PART: Final = re.compile(
    r"(?P<module>.+)\.(?P<part>lora_[AB]\.weight|lora_B\.bias|lora_embedding_[AB]"
    r"|lora_magnitude_vector)(?:(?<=vector)\.weight)?"
)
DRAWN: Final = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Beginnings of the names of initialisations that take something out of the base's weights."""

ShapeOf = Callable[[str], tuple[int, ...]]
Parts = Mapping[str, StoredTensor]


def lora_changes(
    files: AdapterFiles, modules: Mapping[str, Parts], model_type: Any, shape_of: ShapeOf
) -> dict[str, Change]:
    """Return what is done to which tensor.

    ``modules`` are the parts of each module, ``shape_of`` tells a base tensor's shape. Raises
    BaseModelError for parts that are missing or do not fit, CapabilityError for settings that are
    no sum of low-rank products.
    """
    _refuse_drawn(files)
    changes: dict[str, Change] = {}
    scaling = Scalings(files)
    for module, parts in modules.items():
        embedding = "lora_embedding_A" in parts
        names = ("lora_embedding_A", "lora_embedding_B") if embedding else _LINEAR
        if not set(names) <= parts.keys():
            raise files.malformed(f"{module!r} has not both of A and B")
        down, up = (parts[name] for name in names)
        scale = scaling.of(module, _rank(files, module, down, up))
        weight = f"{module}.weight"
        shape = shape_of(weight)
        sizes = (up.shape[0], down.shape[1])
        turned = _turned(files, module, model_type, shape, sizes, embedding=embedding)
        low_rank = _low_rank(files, shape, up, down, scale, turned=turned)
        changes[weight] = _with_magnitude(files, module, parts, low_rank, turned=turned)
        if bias := parts.get("lora_B.bias"):
            changes[f"{module}.bias"] = _bias(files, module, bias, scale, shape_of)
    return changes


_LINEAR: Final = ("lora_A.weight", "lora_B.weight")


def _refuse_drawn(files: AdapterFiles) -> None:
    initial = str(files.config.get("init_lora_weights"))
    if initial.startswith(DRAWN):
        raise CapabilityError(
            f"{files.label} is relative to weights that its initialisation ({initial[:40]}) took "
            "something out of, and neither it nor its base has them",
            hint="save it as plain LoRA: PEFT's save_pretrained(…, "
            "path_initial_model_for_weight_conversion=…)",
        )


class Scalings:
    """s of each module; its rank has to be the one that the config tells."""

    def __init__(self, files: AdapterFiles) -> None:
        self._files = files
        self._rank = files.number("r", files.config.get("r", 8))
        self._alpha = files.number("lora_alpha", files.config.get("lora_alpha", 8))
        self._ranks = files.patterns("rank_pattern")
        self._alphas = files.patterns("alpha_pattern")
        self._stabilised = files.flag("use_rslora")

    def of(self, module: str, rank: int) -> float:
        told = _matched(self._ranks, module, self._rank)
        if told != rank:
            raise self._files.malformed(
                f"{module!r} has the rank {rank}, and by the config it would be {told:g}"
            )
        alpha = _matched(self._alphas, module, self._alpha)
        return alpha / (math.sqrt(rank) if self._stabilised else rank)


def _matched(patterns: list[tuple[re.Pattern[str], float]], module: str, default: float) -> float:
    return next((number for pattern, number in patterns if pattern.match(module)), default)


def _rank(files: AdapterFiles, module: str, down: StoredTensor, up: StoredTensor) -> int:
    if len(down.shape) == len(up.shape) == 4:
        raise CapabilityError(
            f"{files.label} changes the convolution {module!r}",
            hint="merge it with PEFT first (merge_and_unload), and give the merged model",
        )
    if len(down.shape) != 2 or len(up.shape) != 2 or down.shape[0] != up.shape[1]:
        raise files.malformed(f"A and B of {module!r} have the shapes {down.shape} and {up.shape}")
    return down.shape[0]


def _turned(
    files: AdapterFiles,
    module: str,
    model_type: Any,
    shape: tuple[int, ...],
    outputs_inputs: tuple[int, int],
    *,
    embedding: bool,
) -> bool:
    """Say whether the weight is stored as (BA)ᵀ: an embedding always is."""
    if not embedding:
        return is_transposed(files, module, model_type, shape, outputs_inputs)
    if shape != outputs_inputs[::-1]:
        raise files.malformed(
            f"it changes {module!r} as {outputs_inputs[::-1]}, and the base's embeddings have the "
            f"shape {shape}",
            hint="it was trained on another base: name the right one",
        )
    return True


def _low_rank(
    files: AdapterFiles,
    shape: tuple[int, ...],
    up: StoredTensor,
    down: StoredTensor,
    scale: float,
    *,
    turned: bool,
) -> LowRank:
    load_up, load_down = partial(files.load, up), partial(files.load, down)
    if turned:
        return LowRank(shape, _transposed(load_down), _transposed(load_up), scale)
    return LowRank(shape, load_up, load_down, scale)


def _transposed(load: Load) -> Load:
    def turned() -> torch.Tensor:
        return load().T

    return turned


def _with_magnitude(
    files: AdapterFiles, module: str, parts: Parts, low_rank: LowRank, *, turned: bool
) -> Change:
    magnitude = parts.get("lora_magnitude_vector")
    if (magnitude is not None) != files.flag("use_dora"):
        raise files.malformed(f"use_dora of its config does not agree with the parts of {module!r}")
    if magnitude is None:
        return low_rank
    outputs = low_rank.shape[1] if turned else low_rank.shape[0]
    if magnitude.size != outputs:
        raise files.malformed(f"{module!r} has {magnitude.size} magnitudes, not {outputs}")
    return Dora(low_rank, partial(files.load, magnitude), rows=not turned)


def _bias(
    files: AdapterFiles, module: str, bias: StoredTensor, scale: float, shape_of: ShapeOf
) -> Added:
    if not files.flag("lora_bias"):
        raise files.malformed(f"{module!r} has a bias, and lora_bias of its config is not set")
    if shape_of(f"{module}.bias") != bias.shape:
        raise files.malformed(f"the bias of {module!r} has the shape {bias.shape}")
    return Added(partial(files.load, bias), scale)
