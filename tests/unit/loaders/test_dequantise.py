"""A dequantised base computes as the quantised one does."""

from pathlib import Path
from typing import Any

import bitsandbytes
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from peft.utils.integrations import dequantize_bnb_weight
from transformers import AutoModelForCausalLM

from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite.specs import Head, HeadKind, Params
from adapterhub_lite_loaders import FullParams
from adapterhub_lite_loaders.floating import Float32Loader
from adapterhub_lite_quant import Int8Params, NF4Params
from adapterhub_lite_quant.library import QUANTISED
from adapterhub_lite_quant.loaders import Int8Loader, NF4Loader
from tests.unit.loaders.conftest import (
    FEW_PAIRS,
    HEADS,
    Bases,
    answer,
    assert_same,
    batch_of,
    head_of,
    relative_error,
    snapshot,
)

# fmt: off
NF4: NDArray[np.float64] = np.array([
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
])
"""The sixteen values of appendix E of the QLoRA paper."""
# fmt: on
BLOCK = 64

FP32 = NF4Params(compute_dtype="float32")
CASES: list[tuple[Any, Params, float]] = [
    (NF4Loader(), FP32, 1e-6),
    (NF4Loader(), NF4Params(compute_dtype="bfloat16"), 2**-6),
    (Int8Loader(), Int8Params(), 1e-6),
]


def without_rounded_inputs(base: LoadedBase) -> LoadedBase:
    """Put 8-bit layers into training mode: then they do not round what goes into them."""
    for module in base.model.modules():
        if isinstance(module, bitsandbytes.nn.Linear8bitLt):
            module.train()
    return base


@pytest.mark.parametrize(("loader", "params", "most"), CASES, ids=["nf4", "nf4-bf16", "int8"])
@pytest.mark.parametrize(("model_type", "kind"), FEW_PAIRS)
def test_answers_agree(
    bases: Bases, loader: Any, params: Params, most: float, model_type: str, kind: HeadKind
) -> None:
    quantised = loader.load(bases(model_type), head_of(kind), params, "cpu")
    before = snapshot(quantised.model)
    exact = loader.dequantise(quantised)
    assert not exact.quantised
    assert not any(isinstance(module, QUANTISED) for module in exact.model.modules())
    assert {tensor.dtype for tensor in exact.model.parameters()} == {torch.float32}
    batch = batch_of(quantised)
    ours = answer(exact.model, batch)
    assert relative_error(answer(without_rounded_inputs(quantised).model, batch), ours) < most
    assert quantised.quantised
    assert_same(before, snapshot(quantised.model))


@pytest.mark.parametrize("model_type", HEADS)
def test_int8_rounds_inputs_by_little(bases: Bases, model_type: str) -> None:
    quantised = Int8Loader().load(bases(model_type), Head(), Int8Params(), "cpu")
    exact = Int8Loader().dequantise(quantised)
    batch = batch_of(quantised)
    # An input keeps 1/127 of its row's largest value; the tiny models' widest has four of those.
    error = relative_error(answer(quantised.model, batch), answer(exact.model, batch))
    assert 0 < error < 4 / 127


@pytest.mark.parametrize("model_type", HEADS)
@pytest.mark.parametrize(
    ("loader", "params"), [(NF4Loader(), FP32), (Int8Loader(), Int8Params())], ids=["nf4", "int8"]
)
@pytest.mark.parametrize("used", [False, True])
def test_weights_are_those_that_peft_dequantises(
    bases: Bases, model_type: str, loader: Any, params: Params, used: bool
) -> None:
    quantised = loader.load(bases(model_type), Head(), params, "cpu")
    if used:  # the first call moves int8's scales
        answer(quantised.model, batch_of(quantised))
    exact = loader.dequantise(quantised).model
    for name, layer in quantised.model.named_modules():
        if isinstance(layer, QUANTISED):
            made = exact.get_submodule(name)
            weight = made.weight.T if type(made).__name__ == "Conv1D" else made.weight
            peer = dequantize_bnb_weight(layer.weight, getattr(layer, "state", None))
            assert torch.equal(weight, peer), name


@pytest.mark.parametrize("model_type", ["bert", "gpt2"])
def test_nf4_is_the_papers(bases: Bases, model_type: str) -> None:
    """Weights are the nearest of sixteen values times a block's largest; GPT-2's lie transposed."""
    base, params = bases(model_type), NF4Params(double_quantisation=False, compute_dtype="float32")
    quantised = NF4Loader().load(base, Head(), params, "cpu")
    exact = NF4Loader().dequantise(quantised).model
    original = Float32Loader().load(base, Head(), FullParams(), "cpu").model
    for name, layer in quantised.model.named_modules():
        if isinstance(layer, QUANTISED):
            made, source = exact.get_submodule(name), original.get_submodule(name)
            turned = type(source).__name__ == "Conv1D"
            assert type(made) is type(source)
            weights = source.weight.T if turned else source.weight
            ours = (made.weight.T if turned else made.weight).detach().double().numpy()
            blocks = weights.detach().double().numpy().reshape(-1, BLOCK)
            largest = np.abs(blocks).max(1, keepdims=True)
            nearest = np.abs(blocks[..., None] / largest[..., None] - NF4).argmin(-1)
            np.testing.assert_allclose(
                ours.reshape(-1, BLOCK), NF4[nearest] * largest, rtol=1e-5, atol=1e-7
            )


def test_a_dequantised_model_is_saved_as_a_plain_one(bases: Bases, tmp_path: Path) -> None:
    loader, head = NF4Loader(), Head(kind="causal-lm")
    exact = loader.dequantise(loader.load(bases("gpt2"), head, FP32, "cpu"))
    exact.model.save_pretrained(tmp_path)
    assert "quantization" not in (tmp_path / "config.json").read_text()
    plain = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    batch = batch_of(exact)
    assert torch.equal(answer(plain, batch), answer(exact.model, batch))
