"""Full fine-tuning writes folders for ``from_pretrained``, what was frozen once and for all."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from adapterhub_lite.architecture import read_architecture
from adapterhub_lite.protocols import Attached
from adapterhub_lite.specs import Head
from adapterhub_lite.testing import write_tiny_model
from adapterhub_lite.transformer import load_transformer
from adapterhub_lite_full import FullParams
from adapterhub_lite_full.method import Full

TINY_T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 3, "num_heads": 4}
BARE = Head()
INDEX = "model.safetensors.index.json"


def attach(folder: Path, layers: Any = 1) -> Attached:
    base = load_transformer(folder, BARE, torch.float32, "cpu")
    return Full().attach(base, FullParams(layers=layers))


def learn(attached: Attached, seed: int) -> None:
    """Change every weight that learns."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, weight in attached.model.named_parameters():
            if name in attached.trainable:
                weight.add_(torch.randn_like(weight))


def saved(folder: Path, place: Path, *, layers: Any = 1, seed: int = 0) -> tuple[Attached, Path]:
    attached = attach(folder, layers)
    learn(attached, seed)
    Full().save(attached, place)
    return attached, place


def reloaded(folder: Path) -> Any:
    """Load a saved folder as a version is loaded: its own transformer, then the method's part."""
    return Full().load(load_transformer(folder, BARE, torch.float32, "cpu"), folder).model


@pytest.mark.parametrize("layers", [1, 2, "all"])
def test_exactly_what_was_chosen_requires_a_gradient(tiny_bert: Path, layers: Any) -> None:
    attached = attach(tiny_bert, layers)
    learning = {n for n, w in attached.model.named_parameters() if w.requires_grad}
    assert learning == attached.trainable
    if layers == "all":
        assert learning == {name for name, _ in attached.model.named_parameters()}
    else:
        tops = {name.split(".")[2] for name in learning}
        assert tops == {str(layer) for layer in range(3 - layers, 3)}


def test_two_shards_and_an_index_that_is_complete(tiny_bert: Path, tmp_path: Path) -> None:
    attached, folder = saved(tiny_bert, tmp_path / "out")
    shards = {file.name: load_file(file) for file in sorted(folder.glob("*.safetensors"))}
    assert list(shards) == [f"model-{n:05}-of-00002.safetensors" for n in (1, 2)]
    index = json.loads((folder / INDEX).read_text())
    assert index["weight_map"] == {name: file for file, part in shards.items() for name in part}
    assert set(index["weight_map"]) == set(attached.model.state_dict())
    nbytes = sum(tensor.nbytes for part in shards.values() for tensor in part.values())
    assert index["metadata"]["total_size"] == nbytes
    assert set(shards["model-00002-of-00002.safetensors"]) == attached.trainable
    found, base = (read_architecture(place, "x") for place in (folder, tiny_bert))
    assert found.tensors == base.tensors


def test_what_was_frozen_is_the_same_bytes_in_two_trainings(
    tiny_bert: Path, tmp_path: Path
) -> None:
    _, one = saved(tiny_bert, tmp_path / "one", seed=1)
    _, two = saved(tiny_bert, tmp_path / "two", seed=2)
    frozen, learned = (f"model-{n:05}-of-00002.safetensors" for n in (1, 2))
    assert (one / frozen).read_bytes() == (two / frozen).read_bytes()
    assert (one / learned).read_bytes() != (two / learned).read_bytes()
    base = load_file(tiny_bert / "model.safetensors")
    assert all(tensor.equal(base[name]) for name, tensor in load_file(one / frozen).items())


def test_the_same_training_is_the_same_bytes(tiny_bert: Path, tmp_path: Path) -> None:
    _, one = saved(tiny_bert, tmp_path / "one")
    _, two = saved(tiny_bert, tmp_path / "two")
    assert {p.name: p.read_bytes() for p in one.iterdir()} == {
        p.name: p.read_bytes() for p in two.iterdir()
    }


def test_all_layers_are_one_file(tiny_bert: Path, tmp_path: Path) -> None:
    _, folder = saved(tiny_bert, tmp_path / "out", layers="all")
    assert [file.name for file in folder.glob("*.safetensors")] == ["model.safetensors"]
    assert not (folder / INDEX).exists()


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "gpt2", "llama", "t5"])
@pytest.mark.parametrize("layers", [1, "all"])
def test_from_pretrained_gives_the_model_that_was_saved(
    tmp_path: Path, model_type: str, layers: Any
) -> None:
    from transformers import AutoModel, AutoTokenizer

    options = TINY_T5 if model_type == "t5" else {}
    base = write_tiny_model(tmp_path / "base", model_type, **options)
    attached, folder = saved(base, tmp_path / "out", layers=layers)
    theirs = AutoModel.from_pretrained(folder).eval()
    ours = reloaded(folder)
    expected = attached.model.state_dict()
    for model in (theirs, ours):
        state = model.state_dict()
        assert state.keys() == expected.keys()
        assert all(state[name].equal(expected[name]) for name in expected)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = "the apple is sweet"
    assert tokenizer(text)["input_ids"] == attached.tokenizer(text)["input_ids"]


def test_tied_weights_are_written_once(tmp_path: Path) -> None:
    base = write_tiny_model(tmp_path / "base", "t5", **TINY_T5)
    attached, folder = saved(base, tmp_path / "out", layers="all")
    names = set(load_file(folder / "model.safetensors"))
    assert "shared.weight" in names
    assert not {name for name in names if "embed_tokens" in name}
    assert "encoder.embed_tokens.weight" in attached.model.state_dict()
    loaded = reloaded(folder)
    assert loaded.encoder.embed_tokens.weight.data_ptr() == loaded.shared.weight.data_ptr()


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "gpt2", "llama", "t5"])
@pytest.mark.parametrize("layers", [1, 2, "all"])
def test_the_plan_counts_what_learns(tmp_path: Path, model_type: str, layers: Any) -> None:
    options = TINY_T5 if model_type == "t5" else {}
    base = write_tiny_model(tmp_path / "base", model_type, **options)
    counted = Full().count_trainable(read_architecture(base, "x"), BARE, FullParams(layers=layers))
    attached = attach(base, layers)
    weights = dict(attached.model.named_parameters())
    assert counted == sum(weights[name].numel() for name in attached.trainable) > 0


def test_more_layers_than_there_are_speak_against_it(tiny_bert: Path) -> None:
    architecture = read_architecture(tiny_bert, "x")
    assert Full().check(architecture, BARE, FullParams(layers=3)) == []
    assert Full().check(architecture, BARE, FullParams(layers="all")) == []
    (problem,) = Full().check(architecture, BARE, FullParams(layers=4))
    assert "4 layers" in problem
    assert "3" in problem


def test_layers_that_cannot_be_told_apart_speak_against_it(tmp_path: Path) -> None:
    base = write_tiny_model(tmp_path / "base", "albert", embedding_size=16)
    architecture = read_architecture(base, "x")
    assert Full().check(architecture, BARE, FullParams(layers="all")) == []
    assert Full().check(architecture, BARE, FullParams(layers=1)) != []
