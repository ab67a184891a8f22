"""What stands around an output projection: where its residual comes from, which norm follows.

Names only, no torch: relative to the part of a layer that the projection's own name ends.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from adapterhub_lite.errors import CapabilityError


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The module that is given what the residual connection adds, and the norm of the sum.

    ``norm`` is empty where an architecture normalises before its sub-layers, not behind them.
    """

    residual: str
    norm: str = ""


Around = Mapping[str, Surroundings]
"""The ending of an output projection's name → its surroundings."""

_BERT: Final[Around] = {
    "attention.output.dense": Surroundings("attention.self.query", "attention.output.LayerNorm"),
    "output.dense": Surroundings("intermediate.dense", "output.LayerNorm"),
}
_DISTILBERT: Final[Around] = {
    "attention.out_lin": Surroundings("attention.q_lin", "sa_layer_norm"),
    "ffn.lin2": Surroundings("ffn.lin1", "output_layer_norm"),
}
_BART: Final[Around] = {
    "self_attn.out_proj": Surroundings("self_attn.q_proj", "self_attn_layer_norm"),
    "encoder_attn.out_proj": Surroundings("encoder_attn.q_proj", "encoder_attn_layer_norm"),
    "fc2": Surroundings("fc1", "final_layer_norm"),
}
_GPT2: Final[Around] = {
    "attn.c_proj": Surroundings("ln_1"),
    "mlp.c_proj": Surroundings("ln_2"),
}
_LLAMA: Final[Around] = {
    "self_attn.o_proj": Surroundings("input_layernorm"),
    "mlp.down_proj": Surroundings("post_attention_layernorm"),
}
_T5: Final[Around] = {
    name: Surroundings("layer_norm")
    for name in ("SelfAttention.o", "EncDecAttention.o", "DenseReluDense.wo")
}
KNOWN: Final[Mapping[str, Around]] = MappingProxyType(
    {
        **dict.fromkeys(("bert", "roberta", "xlm-roberta", "camembert", "electra"), _BERT),
        "distilbert": _DISTILBERT,
        "bart": _BART,
        "gpt2": _GPT2,
        **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3"), _LLAMA),
        **dict.fromkeys(("t5", "mt5"), _T5),
    }
)
"""Model type → what stands around each of its output projections."""


def surroundings(model_type: str, output: str, names: Container[str]) -> Surroundings:
    """Return the whole names of what stands around the output projection called ``output``.

    Raises CapabilityError for an architecture, or a layer of it, that is not known.
    """
    for ending, around in KNOWN.get(model_type, {}).items():
        if output != ending and not output.endswith(f".{ending}"):
            continue
        start = output.removesuffix(ending)
        found = Surroundings(start + around.residual, around.norm and start + around.norm)
        if found.residual in names and (not found.norm or found.norm in names):
            return found
    raise CapabilityError(
        f"where the residual connection around {output!r} of a {model_type!r} model begins is not "
        "known",
        hint=f"leave reads out, or take a base of the type {', '.join(KNOWN)}",
    )
