"""Quantised weights are read as bitsandbytes itself dequantises them, bit for bit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from adapterhub_lite.errors import BaseModelError, CapabilityError
from adapterhub_lite.streaming.quantised import QuantisedSource

bnb = pytest.importorskip("bitsandbytes.functional")

WEIGHT = "layer.weight"
State = dict[str, torch.Tensor]


def nf4_state(shape: tuple[int, ...], dtype: torch.dtype, *, double: bool, block: int = 64) -> Any:
    """Quantise a random weight; return its tensors and bitsandbytes' own dequantisation."""
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    packed, state = bnb.quantize_4bit(
        weight, blocksize=block, compress_statistics=double, quant_type="nf4"
    )
    tensors = {f"{WEIGHT}.{key}": value for key, value in state.as_dict(packed=True).items()}
    return tensors | {WEIGHT: packed}, bnb.dequantize_4bit(packed, state)


def int8_state(shape: tuple[int, int]) -> Any:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)).half()
    packed, scales, _ = bnb.int8_vectorwise_quant(weight)
    tensors = {WEIGHT: packed, "layer.SCB": scales, "layer.weight_format": torch.tensor(0).byte()}
    return tensors, bnb.int8_vectorwise_dequant(packed, scales)


def open_state(folder: Path, state: State, **config: Any) -> QuantisedSource:
    folder.mkdir(exist_ok=True)
    save_file(
        {name: value.contiguous() for name, value in state.items()}, folder / "model.safetensors"
    )
    return QuantisedSource(folder, "tiny", config)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(40, 96), (3, 50), (300, 64)])
def test_nf4_is_bitsandbytes_dequantisation(
    tmp_path: Path, shape: tuple[int, int], dtype: torch.dtype, double: bool
) -> None:
    state, expected = nf4_state(shape, dtype, double=double)
    source = open_state(tmp_path, state)
    assert set(source.tensors) == {WEIGHT}
    assert source.tensors[WEIGHT].shape == shape
    assert torch.equal(source.raw(WEIGHT), expected)
    size = shape[0] * shape[1]
    assert torch.equal(source.read(WEIGHT, 0, size), expected.float().view(-1))


def test_many_blocks_of_quantised_scales(tmp_path: Path) -> None:
    state, expected = nf4_state((500, 128), torch.float32, double=True)
    assert state[f"{WEIGHT}.nested_absmax"].numel() > 1
    assert torch.equal(open_state(tmp_path, state).raw(WEIGHT), expected)


def test_int8_is_bitsandbytes_dequantisation(tmp_path: Path) -> None:
    state, expected = int8_state((40, 96))
    source = open_state(tmp_path, state, dtype="float32")
    assert set(source.tensors) == {WEIGHT}
    assert torch.equal(source.raw(WEIGHT), expected)
    assert (
        open_state(tmp_path / "half", state, torch_dtype="bfloat16").tensors[WEIGHT].dtype == "BF16"
    )


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, tuple[QuantisedSource, torch.Tensor]]:
    """Return both kinds with their numbers, flattened; the last block is not full."""
    made: dict[str, Callable[[], Any]] = {
        "nf4": lambda: nf4_state((13, 30), torch.float32, double=True),
        "int8": lambda: int8_state((13, 30)),
    }
    found = {}
    for kind, make in made.items():
        state, expected = make()
        source = open_state(tmp_path_factory.mktemp(kind), state)
        found[kind] = (source, expected.view(-1))
    return found


@pytest.mark.parametrize("kind", ["nf4", "int8"])
@given(bounds=st.tuples(st.integers(0, 390), st.integers(0, 390)))
def test_any_slice_is_that_of_the_whole(
    pair: dict[str, tuple[QuantisedSource, torch.Tensor]], kind: str, bounds: tuple[int, int]
) -> None:
    source, expected = pair[kind]
    start, stop = sorted(bounds)
    assert torch.equal(source.read(WEIGHT, start, stop), expected[start:stop])


def test_other_tensors_are_read_as_they_are(tmp_path: Path) -> None:
    state, _ = int8_state((4, 8))
    bias = torch.arange(4, dtype=torch.bfloat16)
    source = open_state(tmp_path, state | {"layer.bias": bias})
    assert set(source.tensors) == {WEIGHT, "layer.bias"}
    assert torch.equal(source.raw("layer.bias"), bias)


def test_a_model_that_transformers_quantised(tmp_path: Path) -> None:
    """The whole way: a saved model's layers are those that the loaded one computes with."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    from adapterhub_lite.testing import write_tiny_model

    base = write_tiny_model(tmp_path / "base", "llama", num_hidden_layers=1)
    settings = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
    )
    model = AutoModelForCausalLM.from_pretrained(base, quantization_config=settings)
    model.save_pretrained(tmp_path / "nf4")
    config = json.loads((tmp_path / "nf4" / "config.json").read_text())
    source = QuantisedSource(tmp_path / "nf4", "tiny", config)
    plain = load_file(base / "model.safetensors")
    assert {name: shape.shape for name, shape in source.tensors.items()} == {
        name: tuple(value.shape) for name, value in plain.items()
    }
    layer = model.get_submodule("model.layers.0.mlp.down_proj").weight
    expected = bnb.dequantize_4bit(layer.data, layer.quant_state)
    assert torch.equal(source.raw("model.layers.0.mlp.down_proj.weight"), expected)


def change(state: State, name: str, value: torch.Tensor | None) -> State:
    changed = {key: held for key, held in state.items() if key != name}
    return changed if value is None else changed | {name: value}


def text(**said: Any) -> torch.Tensor:
    return torch.tensor(list(json.dumps(said).encode()), dtype=torch.uint8)


BROKEN = {
    "absmax": (torch.zeros(3), "absmax"),
    "quant_map": (torch.zeros(16), "not those of NF4"),
    "quant_state.bitsandbytes__nf4": (text(quant_type="nf4"), "shape"),
    "": (torch.zeros(7, 1, dtype=torch.uint8), "7 bytes"),
}


@pytest.mark.parametrize("part", BROKEN)
def test_parts_that_do_not_fit_are_refused(tmp_path: Path, part: str) -> None:
    state, _ = nf4_state((4, 32), torch.float32, double=False)
    value, message = BROKEN[part]
    name = f"{WEIGHT}.{part}" if part else WEIGHT
    with pytest.raises(BaseModelError, match=message):
        open_state(tmp_path, change(state, name, value))


def test_a_shape_that_is_none_is_refused(tmp_path: Path) -> None:
    state, _ = nf4_state((4, 32), torch.float32, double=False)
    key = f"{WEIGHT}.quant_state.bitsandbytes__nf4"
    said = json.loads(bytes(state[key].tolist()))
    with pytest.raises(BaseModelError, match="shape"):
        open_state(tmp_path, state | {key: text(**{**said, "shape": [-4, -32]})})


def test_a_missing_part_is_refused(tmp_path: Path) -> None:
    state, _ = nf4_state((4, 32), torch.float32, double=True)
    with pytest.raises(BaseModelError, match="nested_absmax"):
        open_state(tmp_path, change(state, f"{WEIGHT}.nested_absmax", None))


def test_scales_of_other_rows_are_refused(tmp_path: Path) -> None:
    state, _ = int8_state((4, 8))
    with pytest.raises(BaseModelError, match="scale for each row"):
        open_state(tmp_path, state | {"layer.SCB": torch.ones(5)})


@pytest.mark.parametrize(
    ("state", "config", "message"),
    [
        ({"layer.weight_format": torch.tensor(1).byte()}, {}, "tiles"),
        ({"other.weight": torch.zeros(4, 4, dtype=torch.uint8)}, {}, "a way that is not read"),
    ],
)
def test_what_would_be_read_wrongly_is_refused(
    tmp_path: Path, state: State, config: dict[str, Any], message: str
) -> None:
    with pytest.raises(CapabilityError, match=message):
        open_state(tmp_path, int8_state((4, 8))[0] | state, **config)


def test_transposed_layers_are_refused(tmp_path: Path) -> None:
    state = {name.replace("layer", "h.0.c_attn"): v for name, v in int8_state((4, 8))[0].items()}
    with pytest.raises(CapabilityError, match="transposed"):
        open_state(tmp_path, state, model_type="gpt2")


def test_a_config_that_says_quantised_of_plain_weights(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="none of its weights is"):
        open_state(tmp_path, {WEIGHT: torch.zeros(2, 2)})


def test_fp4_is_refused(tmp_path: Path) -> None:
    packed, state = bnb.quantize_4bit(torch.randn(4, 32), quant_type="fp4")
    tensors = {f"{WEIGHT}.{key}": value for key, value in state.as_dict(packed=True).items()}
    with pytest.raises(BaseModelError, match="nf4"):
        open_state(tmp_path, tensors | {WEIGHT: packed})
