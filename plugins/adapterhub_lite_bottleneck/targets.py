"""Where bottleneck adapters stand in each architecture: names only, no torch.

A sub-layer is found by its *output projection*, the linear layer that writes to the residual
stream. Names are relative to a numbered layer, as regular expressions.
"""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite_bottleneck.styles import Style

HINT: Final = "name the output projections yourself: target_modules"


@dataclass(frozen=True, slots=True)
class OutputProjections:
    """The output projections of one architecture.

    ``stack`` is the name of the list of layers; ``attention`` and ``feed_forward`` are patterns
    of names below a numbered layer.
    """

    stack: str
    attention: tuple[str, ...]
    feed_forward: str


_BERT = OutputProjections(
    "layer", (r"attention\.output\.dense", r"crossattention\.output\.dense"), r"output\.dense"
)
_LLAMA = OutputProjections("layers", (r"self_attn\.o_proj",), r"mlp\.down_proj")
_GPT2 = OutputProjections("h", (r"attn\.c_proj", r"crossattention\.c_proj"), r"mlp\.c_proj")
_BART = OutputProjections("layers", (r"self_attn\.out_proj", r"encoder_attn\.out_proj"), "fc2")
_T5 = OutputProjections(
    "block",
    (r"layer\.\d+\.SelfAttention\.o", r"layer\.\d+\.EncDecAttention\.o"),
    r"layer\.\d+\.DenseReluDense\.wo",
)

ARCHITECTURES: Final[Mapping[str, OutputProjections]] = {
    **dict.fromkeys(
        ("bert", "roberta", "xlm-roberta", "camembert", "electra", "deberta", "deberta-v2"), _BERT
    ),
    "mpnet": OutputProjections("layer", (r"attention\.attn\.o",), r"output\.dense"),
    "distilbert": OutputProjections("layer", (r"attention\.out_lin",), r"ffn\.lin2"),
    "albert": OutputProjections("albert_layers", (r"attention\.dense",), "ffn_output"),
    "modernbert": OutputProjections("layers", (r"attn\.Wo",), r"mlp\.Wo"),
    **dict.fromkeys(("gpt2", "openai-gpt"), _GPT2),
    "gpt_neox": OutputProjections("layers", (r"attention\.dense",), r"mlp\.dense_4h_to_h"),
    "phi": OutputProjections("layers", (r"self_attn\.dense",), r"mlp\.fc2"),
    **dict.fromkeys(
        (
            *("llama", "mistral", "qwen2", "qwen3", "phi3", "olmo", "olmo2", "smollm3", "granite"),
            *("gemma", "gemma2", "gemma3", "gemma3_text", "cohere", "stablelm"),
        ),
        _LLAMA,
    ),
    **dict.fromkeys(("bart", "mbart"), _BART),
    "opt": OutputProjections("layers", (r"self_attn\.out_proj",), "fc2"),
    **dict.fromkeys(("t5", "mt5", "umt5"), _T5),
}

FIRST_PROJECTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "output.dense": ("intermediate.dense",),
    "lin2": ("lin1",),
    "ffn_output": ("ffn",),
    "Wo": ("Wi",),
    "c_proj": ("c_fc",),
    "dense_4h_to_h": ("dense_h_to_4h",),
    "down_proj": ("gate_up_proj", "gate_proj", "up_proj"),
    "fc2": ("fc1",),
    "wo": ("wi", "wi_0"),
}
"""A feed-forward output projection's name, and the projections that read the sub-layer's input."""

_ATTENTION = re.compile(r"att(n|ention)", re.IGNORECASE)
_OUTPUT = re.compile(r"o|wo|(out|o|c|output)_?(proj|lin|layer)?|dense|proj|to_out", re.IGNORECASE)


def output_projections(
    model_type: str, shapes: Mapping[str, tuple[int, int]], hidden_size: int
) -> OutputProjections:
    """Return the table's entry for ``model_type``, or what the names and shapes tell.

    ``shapes`` as in :func:`find_output_projections`, which also says what is raised.
    """
    known = ARCHITECTURES.get(model_type)
    return known or find_output_projections(shapes, hidden_size)


def find_output_projections(
    shapes: Mapping[str, tuple[int, int]], hidden_size: int
) -> OutputProjections:
    """Find the output projections of an unknown architecture by their names and shapes.

    ``shapes`` maps a linear module's name to (out, in) features. The feed-forward's projection
    is the only one in a layer that goes from wider than ``hidden_size`` to ``hidden_size``.
    Raises CapabilityError when there is none or several, as in a mixture of experts.
    """
    stacks: set[str] = set()
    attention: set[str] = set()
    feed_forward: set[str] = set()
    for name, (out_features, in_features) in shapes.items():
        place = re.match(r"(?:.*?\.)??(\w+)\.\d+\.(.+)", name)
        if place is None or out_features != hidden_size:
            continue
        below = re.escape(place[2])
        if _ATTENTION.search(place[2]):
            if _OUTPUT.fullmatch(place[2].rpartition(".")[2]):
                attention.add(below)
        elif in_features > hidden_size:
            feed_forward.add(below)
            stacks.add(place[1])
    if len(feed_forward) != 1 or len(stacks) != 1:
        found = ", ".join(sorted(feed_forward)).replace("\\", "") or "none"
        raise CapabilityError(
            "the feed-forward output projection of this architecture cannot be told apart "
            f"(candidates: {found})",
            hint=HINT,
        )
    return OutputProjections(stacks.pop(), tuple(sorted(attention)), feed_forward.pop())


def target_pattern(
    projections: OutputProjections, style: Style, layers: Sequence[int] | None = None
) -> str:
    """Return a regular expression that full-matches the modules to adapt.

    Houlsby adapts attention and feed-forward, the others the feed-forward only; ``layers`` keeps
    layers with these numbers, None all. Raises CapabilityError when Houlsby finds no attention.
    """
    names = [projections.feed_forward]
    if style == "houlsby":
        if not projections.attention:
            raise CapabilityError(
                "the attention output projection of this architecture cannot be told apart",
                hint=f"take the style pfeiffer, or {HINT}",
            )
        names = [*projections.attention, projections.feed_forward]
    numbers = r"\d+" if layers is None else "|".join(str(layer) for layer in sorted(layers))
    return rf"(?:.*\.)?{projections.stack}\.(?:{numbers})\.(?:{'|'.join(names)})"


def ending_pattern(endings: Iterable[str], layers: Sequence[int]) -> str:
    """Return a regular expression that full-matches modules of these ``layers`` by their endings.

    The first number in a module's name is its layer's: a T5 numbers sub-layers behind it.
    """
    numbers = "|".join(str(layer) for layer in sorted(layers))
    names = "|".join(re.escape(ending) for ending in endings)
    return rf"(?=(?:[^.\d][^.]*\.)+(?:{numbers})\.)(?:.*\.)?(?:{names})"


def matching_modules(pattern: str, names: Iterable[str]) -> list[str]:
    """Return the module ``names`` that a :func:`target_pattern` matches, in their order."""
    compiled = re.compile(pattern)
    return [name for name in names if compiled.fullmatch(name)]


def first_projection(output: str, names: Container[str]) -> str:
    """Return the projection that reads the input of the feed-forward ``output`` belongs to.

    Raises CapabilityError when ``output`` is no feed-forward output projection that is known.
    """
    for ending, firsts in FIRST_PROJECTIONS.items():
        if output != ending and not output.endswith(f".{ending}"):
            continue
        found = [output.removesuffix(ending) + first for first in firsts]
        if present := [name for name in found if name in names]:
            return present[0]
    raise CapabilityError(
        f"a parallel adapter cannot stand beside {output!r}: it reads the input of a feed-forward "
        "sub-layer, and which module gets that is not known",
        hint="take the style pfeiffer or houlsby",
    )


def linear_shapes(model: Any) -> dict[str, tuple[int, int]]:
    """Return (out, in) features of a model's linear modules; it may lie on the meta device."""
    shapes: dict[str, tuple[int, int]] = {}
    for name, module in model.named_modules():
        plain = name.replace(".base_layer", "")
        if hasattr(module, "in_features") and hasattr(module, "out_features"):
            shapes[plain] = (int(module.out_features), int(module.in_features))
        elif type(module).__name__ == "Conv1D":
            shapes[plain] = (int(module.nf), int(module.nx))
    return shapes
