"""A base is loaded whole or not at all, and without a word."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapterhub_lite.errors import BaseModelError
from adapterhub_lite.specs import Head, HeadKind
from adapterhub_lite.testing import write_tiny_model
from adapterhub_lite.transformer import layer_stack, load_transformer, quiet_transformers

TINY_T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 3, "num_heads": 4}
BARE = Head()
HEADS: dict[str, HeadKind] = {"gpt2": "causal-lm", "llama": "causal-lm", "t5": "seq2seq-lm"}
"""What a tiny model of a type is saved with."""

Copy = Callable[[], Path]


@pytest.fixture
def copy(tiny_bert: Path, tmp_path: Path) -> Copy:
    """Copy the tiny BERT to a folder of its own."""
    return lambda: Path(shutil.copytree(tiny_bert, tmp_path / "copy"))


@pytest.mark.parametrize(
    ("model_type", "stack"),
    [
        ("bert", "encoder.layer"),
        ("distilbert", "transformer.layer"),
        ("gpt2", "transformer.h"),
        ("llama", "model.layers"),
        ("t5", None),
    ],
)
def test_every_weight_is_the_files(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], model_type: str, stack: str | None
) -> None:
    options = TINY_T5 if model_type == "t5" else {}
    folder = write_tiny_model(tmp_path / model_type, model_type, **options)
    capfd.readouterr()
    kind = HEADS.get(model_type, "none")
    base = load_transformer(folder, Head(kind=kind), torch.float32, "cpu")
    assert capfd.readouterr() == ("", "")
    saved = load_file(folder / "model.safetensors")
    weights = dict(base.model.named_parameters())
    assert saved.keys() >= weights.keys()
    assert all(weight.equal(saved[name]) for name, weight in weights.items())
    assert not base.model.training
    assert base.path == folder
    assert base.tokenizer("the apple")["input_ids"]
    name, layers = layer_stack(base.model)
    assert len(layers) == 3
    assert stack is None or name == stack


def test_the_dtype_is_the_one_asked_for(tiny_bert: Path) -> None:
    model = load_transformer(tiny_bert, BARE, torch.bfloat16, "cpu").model
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}


def test_a_missing_tensor_is_refused_and_named(
    copy: Copy, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = copy()
    tensors = load_file(folder / "model.safetensors")
    name = "encoder.layer.1.output.dense.weight"
    del tensors[name]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BaseModelError, match="lacks 1 of its tensors") as caught:
        load_transformer(folder, BARE, torch.float32, "cpu")
    assert repr(name) in caught.value.message
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("model_type", ["bert", "roberta"])
def test_a_pooler_that_was_never_trained_is_not_made_up(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], model_type: str
) -> None:
    from transformers import AutoModel

    folder = write_tiny_model(tmp_path / "with", model_type)
    bare = tmp_path / "without"
    shutil.copytree(folder, bare)
    with quiet_transformers():
        model = AutoModel.from_pretrained(folder, add_pooling_layer=False)
        model.save_pretrained(bare)
    assert not any("pooler" in name for name in load_file(bare / "model.safetensors"))
    capfd.readouterr()
    loaded = load_transformer(bare, BARE, torch.float32, "cpu").model
    assert capfd.readouterr() == ("", "")
    assert loaded.pooler is None
    assert load_transformer(folder, BARE, torch.float32, "cpu").model.pooler is not None


def test_a_pooler_that_is_half_there_is_refused(copy: Copy) -> None:
    folder = copy()
    tensors = load_file(folder / "model.safetensors")
    del tensors["pooler.dense.bias"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BaseModelError, match="pooler"):
        load_transformer(folder, BARE, torch.float32, "cpu")


def test_a_task_head_in_the_files_is_left_aside(
    copy: Copy, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = copy()
    tensors = load_file(folder / "model.safetensors")
    headed = {f"bert.{name}": tensor for name, tensor in tensors.items()}
    headed["classifier.weight"] = torch.zeros(2, 32)
    save_file(headed, folder / "model.safetensors", metadata={"format": "pt"})
    capfd.readouterr()
    model = load_transformer(folder, BARE, torch.float32, "cpu").model
    assert capfd.readouterr() == ("", "")
    assert all(weight.equal(tensors[name]) for name, weight in model.named_parameters())


def test_a_model_of_an_unknown_type_is_refused_in_one_line(copy: Copy) -> None:
    folder = copy()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "nonesuch"}))
    with pytest.raises(BaseModelError, match="nonesuch") as caught:
        load_transformer(folder, BARE, torch.float32, "cpu")
    assert "\n" not in caught.value.message


def test_code_that_comes_with_a_model_never_runs(copy: Copy, tmp_path: Path) -> None:
    folder = copy()
    witness = tmp_path / "it-ran"
    (folder / "theirs.py").write_text(f"open({str(witness)!r}, 'w')\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "theirs", "auto_map": {"AutoConfig": "theirs.TheirConfig"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BaseModelError):
        load_transformer(folder, BARE, torch.float32, "cpu")
    assert not witness.exists()


def test_weights_that_end_too_early_are_refused(copy: Copy) -> None:
    file = copy() / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BaseModelError):
        load_transformer(file.parent, BARE, torch.float32, "cpu")


def test_a_base_without_a_tokenizer_is_refused(copy: Copy) -> None:
    folder = copy()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(BaseModelError, match="tokenizer"):
        load_transformer(folder, BARE, torch.float32, "cpu")


def test_silence_ends_with_the_block() -> None:
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    with quiet_transformers():
        assert not logging.is_progress_bar_enabled()
        assert logging.get_verbosity() >= logging.ERROR
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (level, bars)


def test_layers_that_are_shared_are_not_found(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "albert", "albert", embedding_size=16)
    with pytest.raises(BaseModelError, match="'albert'") as caught:
        layer_stack(load_transformer(folder, BARE, torch.float32, "cpu").model)
    assert "layers: all" in caught.value.hint
