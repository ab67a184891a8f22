"""Whether a weight is stored as (outputs, inputs), or transposed as GPT-2's layers are."""

from typing import Any, Final

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.streaming.adapters.files import AdapterFiles

CONV1D: Final = frozenset({"clvp", "decision_transformer", "gpt2", "imagegpt", "openai-gpt"})
"""Types of models whose linear layers are of transformers' class Conv1D."""
LAYERS: Final = frozenset({"c_attn", "c_fc", "c_proj", "q_attn"})
"""What those layers are called; the others, like heads, are ordinary ones."""


def is_transposed(
    files: AdapterFiles,
    module: str,
    model_type: Any,
    shape: tuple[int, ...],
    outputs_inputs: tuple[int, int],
) -> bool:
    """Say whether a weight of ``shape`` is stored as (inputs, outputs).

    A square one does not tell: the model's type does. Raises BaseModelError for a weight that has
    other sizes than the adapter, CapabilityError where nothing tells.
    """
    if len(shape) != 2 or shape not in (outputs_inputs, outputs_inputs[::-1]):
        raise files.malformed(
            f"it changes {module!r} as (outputs, inputs) = {outputs_inputs}, and the base's weight "
            f"has the shape {shape}",
            hint="it was trained on another base: name the right one",
        )
    if shape[0] != shape[1]:
        return shape != outputs_inputs
    if model_type in CONV1D:
        return module.rpartition(".")[2] in LAYERS
    if files.flag("fan_in_fan_out"):
        raise CapabilityError(
            f"{files.label} says that weights are transposed (fan_in_fan_out), and that of "
            f"{module!r} is square: which way round it is cannot be told for {model_type!r}",
            hint="merge it with PEFT first (merge_and_unload), and give the merged model",
        )
    return False
