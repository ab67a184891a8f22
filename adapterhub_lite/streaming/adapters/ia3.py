"""IA3: outputs, or a feed-forward layer's inputs, times learned factors (Liu et al., 2022).

Merged, W·l: a factor of outputs multiplies the layer's bias as well.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.streaming.adapters.changes import Change, Scaled
from adapterhub_lite.streaming.adapters.files import AdapterFiles
from adapterhub_lite.streaming.adapters.orientation import is_transposed
from adapterhub_lite.streaming.headers import StoredTensor

PART: Final = re.compile(r"(?P<module>.+)\.(?P<part>ia3_l)")


def ia3_changes(
    files: AdapterFiles,
    modules: Mapping[str, Mapping[str, StoredTensor]],
    model_type: Any,
    shape_of: Callable[[str], tuple[int, ...]],
    has: Callable[[str], bool],
) -> dict[str, Change]:
    """Return what is done to which tensor; ``has`` says whether the base has one.

    Raises BaseModelError for factors that do not fit, CapabilityError for convolutions.
    """
    changes: dict[str, Change] = {}
    for module, parts in modules.items():
        stored = parts["ia3_l"]
        weight = f"{module}.weight"
        shape = shape_of(weight)
        of_inputs = _of_inputs(files, module, stored)
        sizes = _outputs_inputs(files, module, stored, shape, of_inputs=of_inputs)
        turned = is_transposed(files, module, model_type, shape, sizes)
        factors = partial(files.load, stored)
        changes[weight] = Scaled(shape, factors, rows=of_inputs == turned)
        if not of_inputs and has(f"{module}.bias"):
            changes[f"{module}.bias"] = Scaled((stored.size,), factors, rows=False)
    return changes


def _of_inputs(files: AdapterFiles, module: str, stored: StoredTensor) -> bool:
    """Tell by the shape: (1, inputs) for a feed-forward layer, (outputs, 1) for the others."""
    if len(stored.shape) > 2:
        raise CapabilityError(
            f"{files.label} changes the convolution {module!r}",
            hint="merge it with PEFT first (merge_and_unload), and give the merged model",
        )
    if len(stored.shape) != 2 or 1 not in stored.shape or stored.size == 1:
        raise files.malformed(f"ia3_l of {module!r} has the shape {stored.shape}")
    return stored.shape[0] == 1


def _outputs_inputs(
    files: AdapterFiles,
    module: str,
    stored: StoredTensor,
    shape: tuple[int, ...],
    *,
    of_inputs: bool,
) -> tuple[int, int]:
    """Return the sizes of the layer that the factors fit; they tell one of the two."""
    if len(shape) != 2 or stored.size not in shape:
        raise files.malformed(
            f"{module!r} has {stored.size} factors, and the base's weight the shape {shape}",
            hint="it was trained on another base: name the right one",
        )
    other = shape[0] if stored.size == shape[1] else shape[1]
    return (other, stored.size) if of_inputs else (stored.size, other)
