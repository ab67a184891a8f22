"""The published shapes of a bottleneck adapter, and what their papers use as defaults."""

from dataclasses import dataclass
from typing import Final, Literal

Style = Literal["houlsby", "pfeiffer", "parallel"]
Reads = Literal["projection", "sublayer", "input", "residual"]
"""What an adapter reads: what its output projection gives, the output of the whole sub-layer (with
the residual connection, and the LayerNorm behind it where there is one), the input of the
sub-layer's first projection, or what the residual connection adds."""
NonLinearity = Literal[
    "gelu", "gelu_new", "leaky_relu", "mish", "quick_gelu", "relu", "relu6", "silu", "swish", "tanh"
]
"""Element-wise functions without parameters, by their names in transformers' ``ACT2FN``."""


@dataclass(frozen=True, slots=True)
class StyleDefaults:
    """What a style takes where nothing else is asked for."""

    non_linearity: NonLinearity
    scaling: float
    reads: tuple[Reads, ...]
    """What it may read; the first where nothing is said."""


STYLES: Final[dict[Style, StyleDefaults]] = {
    # https://arxiv.org/abs/1902.00751, and google-research/adapter-bert, its published code
    "houlsby": StyleDefaults("gelu", 1.0, ("projection", "sublayer")),
    # https://arxiv.org/abs/2005.00247
    "pfeiffer": StyleDefaults("relu", 1.0, ("projection", "sublayer")),
    # https://arxiv.org/abs/2110.04366, table 6: the scaled parallel adapter
    "parallel": StyleDefaults("relu", 4.0, ("input", "residual")),
}


def bottleneck_width(hidden_size: int, reduction_factor: float) -> int:
    """Return how many units the bottleneck has: ``hidden_size // reduction_factor``, at least 1."""
    return max(1, int(hidden_size // reduction_factor))


def count_adapter_parameters(hidden_size: int, width: int) -> int:
    """Return how many numbers one adapter holds: two matrices and two biases."""
    return 2 * hidden_size * width + width + hidden_size
