"""LoRA and (IA)³ of AdapterHub become PEFT's: the same factors, under other names."""

import re
from collections.abc import Mapping
from typing import Any, Final

from adapterhub_lite.architecture import TensorInfo
from adapterhub_lite.errors import CapabilityError, IntegrityError
from adapterhub_lite_adapters.configs import About, LowRank
from adapterhub_lite_adapters.translating import (
    TUNER,
    Translated,
    find_module,
    linear_shape,
    renamed,
    require_shape,
    stranger,
)

_FACTOR: Final = re.compile(
    r"(?P<module>[\w.]{1,300})\.loras\.(?P<name>.{1,200})\.lora_(?P<end>[AB])"
)


def translate(
    about: About, config: LowRank, tensors: Mapping[str, TensorInfo], model: Any
) -> Translated:
    """Find each factor's module on a base without weights.

    Raises CapabilityError for what has no equal, IntegrityError for other ranks and shapes.
    """
    scales = config.composition_mode == "scale"
    if scales and (config.r != 1 or config.alpha != 1):
        raise CapabilityError("the adapter scales by a product of matrices, which PEFT does not")
    names: dict[str, str] = {}
    modules: set[str] = set()
    for name, info in tensors.items():
        found = _FACTOR.fullmatch(name)
        if found is None or found["name"] != about.name or (scales and found["end"] == "A"):
            raise stranger(name)
        module = find_module(model, found["module"])
        if module is None:
            raise stranger(name)
        _check_shape(name, info, found["end"], config.r, linear_shape(model, module))
        modules.add(module)
        end = "ia3_l" if scales else f"lora_{found['end']}.weight"
        names[f"{TUNER}{module}.{end}"] = name
    if len(names) != len(modules) * (1 if scales else 2):
        raise CapabilityError("the adapter lacks one of two factors of a LoRA")
    params: dict[str, Any] = {"target_modules": sorted(modules)}
    if scales:
        return Translated("ia3", {**params, "feedforward_modules": []}, renamed(names))
    params |= {"r": config.r, "lora_alpha": config.alpha}
    return Translated("lora", params, renamed(names))


def _check_shape(name: str, info: TensorInfo, end: str, rank: int, sizes: tuple[int, int]) -> None:
    told = info.shape[0 if end == "A" else -1]
    if told != rank:
        raise IntegrityError(f"the adapter says the rank {rank}, and {name[:200]!r} has {told}")
    outputs, inputs = sizes
    require_shape(name, info.shape, (rank, inputs) if end == "A" else (outputs, rank))
