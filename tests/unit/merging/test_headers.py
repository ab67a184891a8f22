"""Headers of safetensors files: what is read, and what is refused."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from adapterhub_lite.errors import BaseModelError
from adapterhub_lite.streaming.headers import read_file_header, read_model_headers
from adapterhub_lite.streaming.sources import FolderSource

STATE = {
    "b": torch.arange(6, dtype=torch.bfloat16).reshape(2, 3),
    "a": torch.arange(4, dtype=torch.float32) / 3,
    "n": torch.tensor(7),
    "none": torch.zeros(0, 4),
}


def write(folder: Path, header: Any, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    file = folder / "model.safetensors"
    file.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return file


def test_slices_are_those_of_the_tensor(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "model.safetensors")
    source = FolderSource(tmp_path, "model")
    assert source.tensors.keys() == STATE.keys()
    for name, value in STATE.items():
        assert source.tensors[name].shape == tuple(value.shape)
        assert torch.equal(source.raw(name), value)
        flat = value.reshape(-1).float()
        for start, stop in ((0, len(flat)), (1, 3), (2, 2)):
            assert torch.equal(source.read(name, start, min(stop, len(flat))), flat[start:stop])


def test_what_is_read_may_be_changed_and_the_file_stays(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "model.safetensors")
    source = FolderSource(tmp_path, "model")
    source.read("a", 0, 4).zero_()
    assert torch.equal(source.raw("a"), STATE["a"])


def entry(**changes: Any) -> dict[str, Any]:
    return {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}


@pytest.mark.parametrize(
    ("header", "data", "reason"),
    [
        (entry(), b"1234567", "bytes, and its header speaks of"),
        (entry(), b"123456789", "bytes, and its header speaks of"),
        (entry(dtype="F31"), b"12345678", "unknown type 'F31'"),
        (entry(shape=[3]), b"12345678", "takes 8 bytes, and needs 12"),
        (entry(shape=[-1, -2]), b"12345678", "a size that is no number"),
        (entry(data_offsets=[4, 12]), b"0" * 12, "does not begin where"),
        (entry(data_offsets=[-8, 0]), b"", "takes|negative|begin"),
        (entry() | {"y": entry()["x"]}, b"12345678", "does not begin where"),
        ({"x": {"dtype": "F32"}}, b"", "no valid safetensors"),
        (b"[]", b"", "no valid safetensors"),
        (b"{", b"", "no valid safetensors"),
    ],
)
def test_what_is_malformed_is_refused(
    tmp_path: Path, header: Any, data: bytes, reason: str
) -> None:
    with pytest.raises(BaseModelError, match=reason):
        read_file_header(write(tmp_path, header, data), "model")


def test_a_header_longer_than_its_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(struct.pack("<Q", 2**60) + b"{}")
    with pytest.raises(BaseModelError, match="header would take"):
        read_file_header(file, "model")


def sharded(folder: Path, spoil: Callable[[dict[str, str]], None]) -> Path:
    places = {"a": "one.safetensors", "b": "two.safetensors"}
    for name, file in places.items():
        save_file({name: STATE[name]}, folder / file)
    spoil(places)
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def test_shards_are_found_by_their_index(tmp_path: Path) -> None:
    found = read_model_headers(sharded(tmp_path, lambda places: None), "model")
    assert {name: tensor.file.name for name, tensor in found.items()} == {
        "a": "one.safetensors",
        "b": "two.safetensors",
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"b": "three.safetensors"}, "has no three.safetensors"),
        ({"b": "one.safetensors", "c": "two.safetensors"}, "places 'b' in one.safetensors"),
        ({"c": "one.safetensors"}, "places 'c' in one.safetensors"),
    ],
)
def test_an_index_that_is_wrong_is_refused(
    tmp_path: Path, change: dict[str, str], reason: str
) -> None:
    folder = sharded(tmp_path, lambda places: places.update(change))
    with pytest.raises(BaseModelError, match=reason):
        read_model_headers(folder, "model")


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    folder = sharded(tmp_path, lambda places: None)
    save_file({"a": STATE["a"], "b": STATE["b"]}, folder / "two.safetensors")
    with pytest.raises(BaseModelError, match="holds 'a' in two files"):
        read_model_headers(folder, "model")
