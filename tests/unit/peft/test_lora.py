"""LoRA's variants and initialisations: exact on a fresh base, readable by PEFT itself."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from adapterhub_lite_peft.method import PeftMethod
from tests.unit.peft.conftest import Bench, batch_for, head_of, outputs, params_of, train

METHOD = PeftMethod()
KIND = "sequence-classification"
VARIANTS: tuple[dict[str, Any], ...] = (
    {"use_dora": True},
    {"use_rslora": True, "r": 4, "lora_alpha": 16},
    {"init_lora_weights": "pissa"},
    {"init_lora_weights": "pissa_niter_4"},
    {"init_lora_weights": "olora"},
    {"init_lora_weights": "pissa", "use_dora": True},
    {"init_lora_weights": "orthogonal"},
    {"init_lora_weights": "mica"},
    {"init_lora_weights": False},
    {"rank_pattern": {"query": 4, "layer.1.attention.self.value": 2}},
    {
        "init_lora_weights": "pissa",
        "use_rslora": True,
        "rank_pattern": {"query": 4},
        "alpha_pattern": {"query": 32},
    },
    {"bias": "lora_only"},
    {"target_modules": "all-linear"},
    {"target_modules": ["word_embeddings", "query"]},
    {"modules_to_save": ["LayerNorm"]},
    {"target_modules": r".*\.(query|value)", "lora_dropout": 0.3},
    {"layers_to_transform": [0], "exclude_modules": ["value"]},
    {"trainable_token_indices": [5, 6]},
)


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
@pytest.mark.filterwarnings("ignore")  # PEFT's own, in its own from_pretrained
def test_a_variant_comes_back_exactly_on_an_untouched_base(
    bench: Bench, tmp_path: Path, settings: dict[str, Any]
) -> None:
    architecture, params = bench.architecture("bert"), params_of("lora", **settings)
    assert METHOD.check(architecture, head_of(KIND), params) == []
    attached = bench.attach("lora", "bert", KIND, **settings)
    learning = sum(v.numel() for v in attached.model.parameters() if v.requires_grad)
    assert METHOD.count_trainable(architecture, head_of(KIND), params) == learning
    batch = batch_for(KIND)
    first, last = train(attached.model, batch, rate=3e-2)
    assert last < first
    expected = outputs(attached.model, batch)
    METHOD.save(attached, tmp_path)

    ours = METHOD.load(bench.base("bert"), tmp_path).model
    theirs = PeftModel.from_pretrained(bench.base("bert").model, str(tmp_path))
    baked = METHOD.bake(bench.base("bert"), tmp_path).model
    for model in (ours, theirs, baked):
        assert torch.allclose(outputs(model, batch), expected, atol=1e-5)


def test_pissa_is_saved_as_plain_lora_of_twice_the_rank(bench: Bench, tmp_path: Path) -> None:
    METHOD.save(bench.attach("lora", "bert", init_lora_weights="pissa", r=4), tmp_path)
    saved = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (saved["init_lora_weights"], saved["r"], saved["lora_alpha"]) == (True, 8, 16)


def test_what_is_saved_is_the_same_bytes_each_time_and_names_no_place(
    bench: Bench, tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        METHOD.save(
            bench.attach("lora", "bert", target_modules=["query", "dense"]), tmp_path / folder
        )
    names = ("adapter_config.json", "adapter_model.safetensors")
    first, second = ([(tmp_path / f / n).read_bytes() for n in names] for f in ("a", "b"))
    assert first == second
    saved = json.loads(first[0])
    assert saved["task_type"] == "SEQ_CLS"
    assert str(bench.folder) not in first[0].decode()


def test_adalora_shares_out_its_ranks_and_comes_back(bench: Bench, tmp_path: Path) -> None:
    settings = {"init_r": 4, "target_r": 2, "tinit": 1, "tfinal": 2}
    attached = bench.attach("adalora", "bert", KIND, **settings)
    batch = batch_for(KIND)
    train(attached.model, batch, steps=8, hooks=attached)
    model: Any = attached.model
    assert model.peft_config["default"].total_step == 8
    singular = [v for n, v in model.named_parameters() if "lora_E" in n]
    assert sum(int((v == 0).sum()) for v in singular) >= 2 * len(singular)
    expected = outputs(attached.model, batch)
    METHOD.save(attached, tmp_path)
    loaded = METHOD.load(bench.base("bert"), tmp_path).model
    assert torch.allclose(outputs(loaded, batch), expected, atol=1e-6)
