"""Tiny versions of the kinds that are deployed, trained once."""

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite import api
from adapterhub_lite.testing import TINY_ROWS, write_tiny_model
from adapterhub_lite_registry import Registry
from tests.unit.deployment.decoders import write_decoder

CLASSIFICATION = {"name": "classification", "max_steps": 2, "learning_rate": 0.01}
FEW_SHOT = {"name": "contrastive", "steps": 2, "folds": 0, "head_c": [1.0]}
CHAT = {"name": "sft", "max_steps": 2, "learning_rate": 0.05, "max_new_tokens": 6}
LORA = {"name": "lora", "r": 8}
ALL_LINEAR = {**LORA, "target_modules": "all-linear"}
VERSIONS: Mapping[str, Mapping[str, Any]] = {
    "classifier": {"base": "bert", "method": LORA, "objective": CLASSIFICATION},
    "few": {"base": "bert", "method": {"name": "full", "layers": 1}, "objective": FEW_SHOT},
    "few-lora": {"base": "bert", "method": LORA, "objective": FEW_SHOT},
    "prefix": {"base": "bert", "method": "prefix", "objective": CLASSIFICATION},
    "chat": {
        "base": "llama",
        "method": {**LORA, "target_modules": "all-linear"},
        "objective": CHAT,
    },
    "chat-dora": {"base": "llama", "method": {**LORA, "use_dora": True}, "objective": CHAT},
    "chat-rslora": {"base": "llama", "method": {**LORA, "use_rslora": True}, "objective": CHAT},
}


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two bases, and rows for both."""
    folder = tmp_path_factory.mktemp("deployment")
    write_tiny_model(folder / "bert", initializer_range=0.2, num_hidden_layers=2)
    write_decoder(folder / "llama")
    with (folder / "bert.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("text", "label"), *TINY_ROWS])
    turns = ([{"role": "user", "content": text}, {"role": "assistant", "content": label}]
             for text, label in TINY_ROWS)  # fmt: skip
    lines = [json.dumps({"messages": one}) for one in turns]
    (folder / "llama.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def registry(place: Path) -> Registry:
    return api.open_registry(place / "registry")


@pytest.fixture(scope="session")
def trained(place: Path, registry: Registry) -> Callable[[str], str]:
    """Return a function that trains one of the versions, once, and gives its reference."""

    def version(name: str) -> str:
        if name not in registry.names():
            recipe = dict(VERSIONS[name])
            base = recipe.pop("base")
            rows = place / ("bert.csv" if base == "bert" else "llama.jsonl")
            recipe |= {"base": str(place / base), "data": {"train": str(rows)}, "publish": name}
            api.train(recipe, registry=registry)
        return name

    return version
