"""A base is known from its config and tensor headers, and a damaged one is named in one line."""

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from adapterhub_lite.architecture import read_architecture, read_headers, weight_files
from adapterhub_lite.errors import BaseModelError
from adapterhub_lite.specs import Head, HeadKind
from adapterhub_lite.testing import write_tiny_model

TINY_T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 3, "num_heads": 4}
TYPES = {
    "bert": ("encoder", "encoder.layer."),
    "roberta": ("encoder", "encoder.layer."),
    "distilbert": ("encoder", "transformer.layer."),
    "gpt2": ("decoder", "transformer.h."),
    "llama": ("decoder", "model.layers."),
    "t5": ("encoder-decoder", None),
}

SAVED_WITH: dict[str, HeadKind] = {"gpt2": "causal-lm", "llama": "causal-lm", "t5": "seq2seq-lm"}
"""The head that a tiny model of a type is saved with."""

Tiny = Callable[[str], Path]
Damaged = Callable[[Callable[[Path], object]], BaseModelError]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Return the folder of a tiny model of a type, written once."""
    place = tmp_path_factory.mktemp("bases")

    def write(model_type: str) -> Path:
        folder = place / model_type
        if folder.exists():
            return folder
        return write_tiny_model(folder, model_type, **(TINY_T5 if model_type == "t5" else {}))

    return write


@pytest.fixture
def damaged(tiny: Tiny, tmp_path: Path) -> Damaged:
    """Change a copy of a tiny model and return the error of reading it."""

    def read(change: Callable[[Path], object]) -> BaseModelError:
        folder = tmp_path / "damaged"
        shutil.copytree(tiny("bert"), folder)
        change(folder)
        with pytest.raises(BaseModelError) as caught:
            read_architecture(folder, "the-base")
        assert "\n" not in caught.value.message
        assert "'the-base'" in caught.value.message
        assert caught.value.ref == "the-base"
        return caught.value

    return read


def header(value: object) -> bytes:
    """Return a safetensors file of a header alone."""
    raw = json.dumps(value).encode()
    return struct.pack("<Q", len(raw)) + raw


@pytest.mark.parametrize("model_type", TYPES)
def test_what_a_base_is(tiny: Tiny, model_type: str) -> None:
    family, prefix = TYPES[model_type]
    found = read_architecture(tiny(model_type), model_type)
    assert found.model_type == model_type
    assert found.family == family
    assert (found.layers, found.hidden_size) == (3, 32)
    assert not found.sentence_transformer
    if prefix is not None:
        assert found.layer_prefix == prefix


@pytest.mark.parametrize("model_type", TYPES)
def test_parameters_are_those_that_torch_counts(tiny: Tiny, model_type: str) -> None:
    from safetensors.torch import load_file

    folder = tiny(model_type)
    saved = load_file(folder / "model.safetensors")
    found = read_architecture(folder, model_type)
    assert found.parameters == sum(tensor.numel() for tensor in saved.values())
    assert {name: info.shape for name, info in found.tensors.items()} == {
        name: tuple(tensor.shape) for name, tensor in saved.items()
    }
    assert {info.dtype for info in found.tensors.values()} == {"F32"}


@pytest.mark.parametrize("model_type", TYPES)
def test_the_parameters_of_a_layer_are_those_that_torch_counts(tiny: Tiny, model_type: str) -> None:
    from safetensors.torch import load_file

    folder = tiny(model_type)
    saved = load_file(folder / "model.safetensors")
    found = read_architecture(folder, model_type)
    for layer in range(3):
        start = f"{found.layer_prefix}{layer}."
        expected = sum(t.numel() for name, t in saved.items() if name.startswith(start))
        assert found.layer_parameters(layer) == expected > 0
    assert found.layer_parameters(3) == 0


@pytest.mark.parametrize("model_type", TYPES)
def test_the_layers_in_the_files_are_those_of_the_model(tiny: Tiny, model_type: str) -> None:
    import torch

    from adapterhub_lite.transformer import layer_stacks, load_transformer

    kind = SAVED_WITH.get(model_type, "none")
    model = load_transformer(tiny(model_type), Head(kind=kind), torch.float32, "cpu").model
    names = [name for name, layers in layer_stacks(model) if len(layers) == 3]
    if model_type == "t5":
        assert names == ["encoder.block", "decoder.block"]
    assert read_architecture(tiny(model_type), "x").layer_prefix in {f"{name}." for name in names}


@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize("kind", get_args(HeadKind))
def test_a_head_is_there_where_transformers_has_a_class(
    tiny: Tiny, model_type: str, kind: HeadKind
) -> None:
    from transformers import AutoConfig

    from adapterhub_lite.heads import auto_class

    known = type(AutoConfig.from_pretrained(tiny(model_type))) in auto_class(kind)._model_mapping
    assert read_architecture(tiny(model_type), "x").has_head(kind) is known
    if kind == "causal-lm":
        assert known is (model_type != "t5" and model_type != "distilbert")
    if kind == "seq2seq-lm":
        assert known is (model_type == "t5")


def test_layer_one_is_not_layer_ten(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "deep", num_hidden_layers=11)
    found = read_architecture(folder, "deep")
    assert found.layer_prefix == "encoder.layer."
    assert found.layer_parameters(1) == found.layer_parameters(10)


def test_a_decoder_of_an_encoders_type(tiny: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "decoder"
    shutil.copytree(tiny("bert"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "is_decoder": True}))
    assert read_architecture(folder, "x").family == "decoder"


def test_a_sentence_transformer_has_modules(tiny: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "sentence"
    shutil.copytree(tiny("bert"), folder)
    (folder / "modules.json").write_text("[]")
    assert read_architecture(folder, "x").sentence_transformer


@pytest.fixture
def sharded(tiny: Tiny, tmp_path: Path) -> Path:
    """Write the tiny BERT in shards."""
    from transformers import AutoModel

    from adapterhub_lite.transformer import quiet_transformers

    folder = tmp_path / "sharded"
    with quiet_transformers():
        AutoModel.from_pretrained(tiny("bert")).save_pretrained(folder, max_shard_size="40KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder


def test_shards_are_one_base(sharded: Path, tiny: Tiny) -> None:
    ours, whole = (read_architecture(folder, "x") for folder in (sharded, tiny("bert")))
    assert ours.tensors == whole.tensors
    assert ours.layer_prefix == whole.layer_prefix
    names = {file.name for file in weight_files(sharded, "x")}
    assert names == {file.name for file in sharded.glob("*.safetensors")}


def test_a_missing_shard_is_named(sharded: Path) -> None:
    shard = sorted(sharded.glob("*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(BaseModelError, match=shard.name):
        read_architecture(sharded, "x")


def test_an_index_reaches_no_other_folder(sharded: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.safetensors").write_bytes(header({}))
    index = sharded / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../secret.safetensors"}}))
    with pytest.raises(BaseModelError, match=r"no secret\.safetensors"):
        read_headers(sharded, "x")


def test_no_folder_and_an_empty_one(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(BaseModelError, match=r"has no config\.json") as caught:
            read_architecture(folder, "x")
        assert "config.json and model.safetensors" in caught.value.hint


def test_no_weights(damaged: Damaged) -> None:
    error = damaged(lambda folder: (folder / "model.safetensors").unlink())
    assert error.message == "'the-base' has no model.safetensors"
    assert "config.json and model.safetensors" in error.hint


def test_pickled_weights_are_not_read_and_the_hint_says_so(damaged: Damaged) -> None:
    error = damaged(
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    )
    assert error.message == "'the-base' has no model.safetensors"
    assert "pickles are never read" in error.hint


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"", "does not parse"),
        (b"{", "does not parse"),
        (b"\xff\xfe", "does not parse"),
        (b"[]", "no JSON object"),
        (b"3", "no JSON object"),
        (b"null", "no JSON object"),
    ],
)
def test_a_config_that_is_none(damaged: Damaged, content: bytes, shown: str) -> None:
    error = damaged(lambda folder: (folder / "config.json").write_bytes(content))
    assert shown in error.message
    assert "config.json" in error.message


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b'{"model_type": []}', id="type"),
        pytest.param(b"[" * 200_000, id="deep"),
    ],
)
def test_a_hostile_config(damaged: Damaged, content: bytes) -> None:
    damaged(lambda folder: (folder / "config.json").write_bytes(content))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"short", id="short"),
        pytest.param(struct.pack("<Q", 100) + b'{"a"', id="cut"),
        pytest.param(struct.pack("<Q", 4) + b"\xff\xff\xff\xff", id="no text"),
        pytest.param(header(3)[:8] + b"x", id="no JSON"),
        pytest.param(struct.pack("<Q", 2**63) + b"{}", id="absurd length"),
        pytest.param(header({"a": 3}), id="entry"),
        pytest.param(header({"a": {"dtype": "F32"}}), id="no shape"),
        pytest.param(header({"a": {"dtype": "F32", "shape": None}}), id="shape"),
        pytest.param(header({"a": {"dtype": "F32", "shape": ["x"]}}), id="size"),
        pytest.param(header([]), id="list"),
        pytest.param(header({"a": {"dtype": "F32", "shape": [float("inf")]}}), id="infinite"),
    ],
)
def test_a_corrupt_header(damaged: Damaged, content: bytes) -> None:
    error = damaged(lambda folder: (folder / "model.safetensors").write_bytes(content))
    assert "model.safetensors of 'the-base' is no valid safetensors file" in error.message
    assert "again" in error.hint


def test_an_absurd_header_length_is_said_and_not_allocated(damaged: Damaged) -> None:
    content = struct.pack("<Q", 2**40)
    error = damaged(lambda folder: (folder / "model.safetensors").write_bytes(content))
    assert str(2**40) in error.message


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "{}",
        '{"weight_map": []}',
        "[]",
        '{"weight_map": {"a": 3}}',
        '{"weight_map": {"a": []}}',
    ],
)
def test_a_damaged_index(damaged: Damaged, content: str) -> None:
    index = "model.safetensors.index.json"
    error = damaged(lambda folder: (folder / index).write_text(content))
    assert f"{index} of 'the-base' does not parse" in error.message
