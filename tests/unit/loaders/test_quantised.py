"""The loaders nf4 and int8: what they quantise, that they keep still, what they refuse."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import bitsandbytes
import pytest
import torch
from torch import nn

import adapterhub_lite_quant
from adapterhub_lite import catalogue as core_catalogue
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import BaseModelError, CapabilityError, MissingDependencyError
from adapterhub_lite.plugins import PluginSource
from adapterhub_lite.specs import Head, HeadKind, Params
from adapterhub_lite_loaders import FullParams
from adapterhub_lite_loaders.floating import Float32Loader
from adapterhub_lite_quant import Int8Params, NF4Params, loaders
from adapterhub_lite_quant.library import QUANTISED
from adapterhub_lite_quant.loaders import Int8Loader, NF4Loader
from tests.unit.loaders.conftest import (
    PAIRS,
    Bases,
    answer,
    assert_same,
    batch_of,
    head_of,
    resolved,
    snapshot,
)

KINDS: list[tuple[Any, Params]] = [
    (NF4Loader(), NF4Params(compute_dtype="float32")),
    (NF4Loader(), NF4Params(compute_dtype="bfloat16", double_quantisation=False)),
    (Int8Loader(), Int8Params()),
]
each_kind = pytest.mark.parametrize(("loader", "params"), KINDS, ids=["nf4", "nf4-bf16", "int8"])


@pytest.mark.parametrize(("loader", "params"), [KINDS[0], KINDS[2]], ids=["nf4", "int8"])
@pytest.mark.parametrize(("model_type", "kind"), PAIRS)
def test_heads_embeddings_and_norms_stay_in_float32(
    bases: Bases, loader: Any, params: Params, model_type: str, kind: HeadKind
) -> None:
    base = bases(model_type)
    loaded = loader.load(base, head_of(kind), params, "cpu")
    plain = Float32Loader().load(base, head_of(kind), FullParams(), "cpu")
    assert loaded.quantised
    assert loaded.new == plain.new
    quantised = {n for n, module in loaded.model.named_modules() if isinstance(module, QUANTISED)}
    assert quantised
    assert not [name for name in quantised if name.startswith(loaded.new)] or not loaded.new
    outside = {
        name: tensor
        for name, tensor in loaded.model.named_parameters()
        if name.rpartition(".")[0] not in quantised
    }
    originals = dict(plain.model.named_parameters())
    for name, tensor in outside.items():
        assert tensor.dtype == torch.float32, name
        if not name.startswith(tuple(f"{module}." for module in loaded.new)):
            assert torch.equal(tensor, originals[name]), name
    linear = {
        name
        for name, module in plain.model.named_modules()
        if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
    }
    left = {name.rpartition(".")[2] for name in linear - quantised - set(loaded.new)}
    # RoBERTa's head is two layers; T5's class keeps "wo" in float32, which would overflow.
    assert left <= {"pooler", "dense", "out_proj", "lm_head", "wo"}


@each_kind
def test_loading_twice_gives_the_same_bits(bases: Bases, loader: Any, params: Params) -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(snapshot(loader.load(bases("gpt2"), head_of("none"), params, "cpu").model))
    assert_same(*states)


@each_kind
def test_shards_give_the_same_bits_as_one_file(
    bases: Bases, tmp_path: Path, loader: Any, params: Params
) -> None:
    plain = Float32Loader().load(bases("llama"), Head(kind="causal-lm"), FullParams(), "cpu")
    plain.model.save_pretrained(tmp_path, max_shard_size="20KB")
    plain.tokenizer.save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    head = Head(kind="causal-lm")
    sharded = loader.load(resolved(tmp_path), head, params, "cpu")
    assert_same(
        snapshot(sharded.model), snapshot(loader.load(bases("llama"), head, params, "cpu").model)
    )


@each_kind
@pytest.mark.parametrize("instructions", [False, True])
def test_evaluating_changes_no_bit(
    bases: Bases,
    loader: Any,
    params: Params,
    instructions: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With AVX512-BF16, bitsandbytes would repack the weights at the first evaluation."""
    monkeypatch.setattr(bitsandbytes.nn.modules, "has_avx512bf16", lambda: instructions)
    loaded = loader.load(bases("bert"), head_of("sequence-classification"), params, "cpu")
    before, batch = snapshot(loaded.model), batch_of(loaded)
    first = answer(loaded.model, batch)
    assert_same(before, snapshot(loaded.model))
    assert torch.equal(first, answer(loaded.model, batch))


@each_kind
def test_nothing_is_said(
    bases: Bases, loader: Any, params: Params, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        loaded = loader.load(bases("bert"), head_of("sequence-classification"), params, "cpu")
        answer(loaded.model, batch_of(loaded))
        loader.dequantise(loaded)
    assert not caplog.records


def test_nf4_takes_a_seventh_of_the_bytes(bases: Bases) -> None:
    base = bases("llama", hidden_size=128, intermediate_size=256)
    sizes = []
    for params in (NF4Params(), NF4Params(double_quantisation=False)):
        loaded = NF4Loader().load(base, Head(), params, "cpu")
        layer = loaded.model.layers[0].mlp.up_proj
        names = snapshot(layer).items()
        # The codes' tables are the same for every layer, and kept once.
        sizes.append(sum(value.nbytes for name, value in names if "map" not in name))
    weights = 128 * 256
    assert 0.5 * weights < sizes[0] < sizes[1] < 0.58 * weights


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"avx512_bf16": True}, torch.bfloat16), ({"avx2": True}, torch.float32)],
)
def test_auto_computes_in_bfloat16_where_there_are_instructions(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert loaders.compute_dtype("auto", "cpu") == expected
    assert loaders.compute_dtype("bfloat16", "cpu") == torch.bfloat16


def test_float16_is_refused_on_a_cpu(bases: Bases) -> None:
    with pytest.raises(CapabilityError, match="float16 needs a GPU"):
        NF4Loader().load(bases("bert"), Head(), NF4Params(compute_dtype="float16"), "cpu")


def test_an_architecture_without_the_head_is_refused(bases: Bases) -> None:
    with pytest.raises(CapabilityError, match="'distilbert' model cannot be loaded for causal-lm"):
        NF4Loader().load(bases("distilbert"), Head(kind="causal-lm"), NF4Params(), "cpu")


@pytest.mark.parametrize(
    ("loader", "params"), [(Float32Loader(), FullParams()), (NF4Loader(), NF4Params())]
)
def test_files_that_are_quantised_already_are_refused(
    bases: Bases, tmp_path: Path, loader: Any, params: Params
) -> None:
    folder = tmp_path / "quantised"
    shutil.copytree(bases("bert").path, folder)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BaseModelError, match="is stored quantised, by 'bitsandbytes'") as caught:
        loader.load(resolved(folder), Head(), params, "cpu")
    assert "nf4" in caught.value.hint


@pytest.mark.parametrize("name", ["nf4", "int8"])
def test_without_bitsandbytes_the_pip_line_is_said(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    source = PluginSource("quant", "adapterhub-lite", "1", lambda: adapterhub_lite_quant)
    offered = Catalogue([source])
    assert offered.implementation(offered.loader(name))
    monkeypatch.setattr(core_catalogue, "_is_installed", lambda module: module != "bitsandbytes")
    with pytest.raises(MissingDependencyError) as caught:
        offered.implementation(offered.loader(name))
    assert caught.value.install == "pip install 'adapterhub-lite[quant]'"
