"""How the conformance kit checks what PEFT's plugin offers: parameters for layers 32 wide."""

from collections.abc import Mapping
from typing import Any, Final

from adapterhub_lite.specs import ConformanceCase

FITTING: Final[Mapping[str, Mapping[str, Any]]] = {
    "adamss": {"r": 16, "num_subspaces": 2},
    "adaption-prompt": {"adapter_len": 4},
    "boft": {"boft_block_size": 4},
    "c3a": {"block_size": 8},
    "delora": {"delora_lambda": 1},
    "fourierft": {"n_frequency": 20},
    "miss": {"r": 8},
    "oft": {"oft_block_size": 4},
    "road": {"group_size": 16},
    "shira": {"r": 4},
    "trainable-tokens": {"token_indices": list(range(5, 40))},
    "vblora": {"vector_length": 8, "num_vectors": 16},
    "waveft": {"n_frequency": 20},
    **{name: {"num_virtual_tokens": 4} for name in ("prefix", "prompt", "p-tuning", "cartridge")},
}
"""Method → parameters where PEFT's defaults are for wider layers."""


CASES: Final = tuple(
    ConformanceCase(kind="method", name=name, params=params)
    for name, params in sorted(FITTING.items())
)
