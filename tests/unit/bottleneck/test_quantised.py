"""Adapters of a quantised base: nothing changes at first, and they learn in floating point."""

from typing import Any, get_args

import pytest
import torch
from peft import get_peft_model

from adapterhub_lite_bottleneck.config import BottleneckConfig
from adapterhub_lite_bottleneck.styles import Style

pytest.importorskip("bitsandbytes")
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")


@pytest.mark.parametrize("style", get_args(Style))
@pytest.mark.parametrize("bits", [4, 8])
def test_an_adapter_learns_on_a_quantised_base(
    bits: int, style: Style, model_of: Any, run: Any, inputs: Any
) -> None:
    from transformers import BitsAndBytesConfig

    quantised = BitsAndBytesConfig(
        load_in_4bit=bits == 4,
        load_in_8bit=bits == 8,
        bnb_4bit_quant_type="nf4",
        llm_int8_skip_modules=["pooler"],
    )
    base = model_of(quantization_config=quantised)
    expected = run(base)
    model = get_peft_model(base, BottleneckConfig(style=style, reduction_factor=4)).eval()
    assert torch.equal(run(model), expected)
    learning = [p for p in model.parameters() if p.requires_grad]
    assert {p.dtype for p in learning} == {torch.float32}
    optimizer = torch.optim.AdamW(learning, lr=0.02)
    losses = []
    for _ in range(8):
        loss = (model(**inputs(model))[0] - torch.linspace(-1, 1, 32)).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0]
    with model.disable_adapter():
        assert torch.equal(run(model), expected)
