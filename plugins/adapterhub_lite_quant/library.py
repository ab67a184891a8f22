"""bitsandbytes, imported without its chatter, and its layers made to keep still."""

import logging
from typing import Any, Final

import torch

_CHATTER: Final = {
    "bitsandbytes.backends.cpu.ops": "Failed to load CPU gemm_4bit_forward",
    "bitsandbytes.autograd._functions": "MatMul8bitLt: inputs will be cast",
}
"""Logger → how its message starts that comes at the import, or at every step, and means no harm."""


def _is_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_CHATTER[record.name])


for _name in _CHATTER:
    logging.getLogger(_name).addFilter(_is_news)

from bitsandbytes.functional import dequantize_4bit, int8_vectorwise_dequant  # noqa: E402
from bitsandbytes.nn import Linear4bit, Linear8bitLt  # noqa: E402

QUANTISED: Final = (Linear4bit, Linear8bitLt)


def settle(model: Any) -> None:
    """Make 4-bit layers change nothing of themselves when they are called.

    bitsandbytes rounds a bias to the compute type at the first call: it is done here, so that the
    base's bytes are the same before and after. On a CPU with AVX512-BF16 the first evaluation would
    repack the weights and round their scales to bfloat16, for good, and fail where a width is no
    multiple of 32: it is switched off.
    """
    for layer in model.modules():
        if isinstance(layer, Linear4bit):
            layer.support_avx512bf16_for_cpu = False
            if layer.bias is not None:
                layer.bias.data = layer.bias.data.to(layer.compute_dtype)


def stored_weight(layer: Any) -> torch.Tensor:
    """Return a quantised layer's weight in float32, of shape (outputs, inputs)."""
    if isinstance(layer, Linear4bit):
        weight = dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    else:
        # The scales move from the weight to the layer's state at the first call.
        scales = layer.weight.SCB if layer.weight.SCB is not None else layer.state.SCB
        weight = int8_vectorwise_dequant(layer.weight.data, scales)
    assert isinstance(weight, torch.Tensor)
    return weight.float()
