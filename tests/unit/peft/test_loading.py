"""An adapter's files are believed nothing: strict in keys, shapes and settings."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapterhub_lite.errors import AdapterHubError, CapabilityError, IntegrityError
from adapterhub_lite_peft.method import PeftMethod
from tests.unit.peft.conftest import Bench

METHOD = PeftMethod()
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def saved(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved LoRA."""
    folder = tmp_path_factory.mktemp("saved")
    METHOD.save(bench.attach("lora", "bert"), folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(saved, tmp_path / "adapter"))


def change(folder: Path, **settings: Any) -> None:
    written = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(written | settings))


@pytest.mark.parametrize(
    ("settings", "error", "reason"),
    [
        ({"peft_type": "NOVEL"}, IntegrityError, "no known method"),
        ({"peft_type": ["LORA"]}, IntegrityError, "no known method"),
        ({"shiny": 1}, IntegrityError, "unknown key 'shiny'"),
        ({"auto_mapping": {"parent_library": "os"}}, CapabilityError, "auto_mapping"),
        ({"megatron_config": {"a": 1}}, CapabilityError, "megatron_config"),
        ({"megatron_core": "os"}, CapabilityError, "megatron_core"),
        ({"eva_config": {"rho": 2}}, CapabilityError, "eva_config"),
        ({"init_lora_weights": "corda"}, CapabilityError, "init_lora_weights"),
        ({"r": 900_000}, IntegrityError, "widest layer"),
        ({"r": "8; import os"}, CapabilityError, "bad r"),
        ({"r": 4}, IntegrityError, "has the shape"),
        ({"target_modules": ["key"]}, IntegrityError, "lacks"),
        ({"target_modules": ["absent"]}, IntegrityError, "names 'absent'"),
    ],
)
def test_settings_that_are_not_ours_are_refused(
    bench: Bench,
    folder: Path,
    settings: dict[str, Any],
    error: type[AdapterHubError],
    reason: str,
) -> None:
    change(folder, **settings)
    with pytest.raises(error, match=reason):
        METHOD.load(bench.base("bert"), folder)


def without_first(tensors: Tensors) -> Tensors:
    return dict(sorted(tensors.items())[1:])


def without_head(tensors: Tensors) -> Tensors:
    return {name: value for name, value in tensors.items() if "classifier" not in name}


def with_another(tensors: Tensors) -> Tensors:
    return {**tensors, "base_model.model.extra": torch.zeros(2)}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(without_first, "lacks"), (without_head, "'classifier'"), (with_another, "unexpected")],
)
def test_tensors_have_to_be_exactly_those_expected(
    bench: Bench, folder: Path, spoil: Callable[[Tensors], Tensors], reason: str
) -> None:
    save_file(spoil(load_file(folder / WEIGHTS)), folder / WEIGHTS)
    with pytest.raises(IntegrityError, match=reason):
        METHOD.load(bench.base("bert"), folder)


@pytest.mark.parametrize("text", ["", "[1]", "{", '"x"', "[" * 100_000])
def test_a_config_that_is_no_object_is_refused(bench: Bench, folder: Path, text: str) -> None:
    (folder / CONFIG).write_text(text)
    with pytest.raises(IntegrityError, match=CONFIG):
        METHOD.load(bench.base("bert"), folder)


def test_weights_that_are_no_safetensors_are_refused(bench: Bench, folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"\x80\x04 a pickle")
    with pytest.raises(IntegrityError, match="cannot be read"):
        METHOD.load(bench.base("bert"), folder)


def test_pickled_weights_are_not_looked_at(bench: Bench, folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "adapter_model.bin")
    with pytest.raises(IntegrityError, match="cannot be read") as raised:
        METHOD.load(bench.base("bert"), folder)
    assert "pickled" in raised.value.hint


def test_an_adapter_of_another_architecture_is_refused(bench: Bench, folder: Path) -> None:
    with pytest.raises(IntegrityError, match="does not fit this base"):
        METHOD.load(bench.base("distilbert"), folder)


def test_a_quantised_base_is_not_baked_into(bench: Bench, folder: Path) -> None:
    base = bench.base("bert")
    base.quantised = True
    with pytest.raises(CapabilityError, match="quantised") as raised:
        METHOD.bake(base, folder)
    assert raised.value.hint == "dequantise it first"
