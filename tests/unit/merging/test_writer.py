"""The writer: what safetensors reads back, in any order, resumed, and refused when it is full."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file

from adapterhub_lite.errors import MergeError, StorageError
from adapterhub_lite.merging import writer as module
from adapterhub_lite.merging.writer import JOURNAL, FolderWriter
from adapterhub_lite.streaming.headers import TensorShape, read_model_headers
from adapterhub_lite.streaming.layout import lay_out, total_bytes

SHAPES = {
    "a": TensorShape("BF16", (3, 5)),
    "b": TensorShape("F32", (7,)),
    "c": TensorShape("I64", ()),
    "d": TensorShape("F16", (2, 0)),
    "e": TensorShape("F32", (2, 2)),
}
VALUES = {
    "a": torch.arange(15.0) / 7,
    "b": torch.arange(7.0) / 3,
    "c": torch.tensor([5]),
    "d": torch.zeros(0),
    "e": torch.ones(4),
}


def write(writer: FolderWriter, name: str) -> None:
    values = VALUES[name]
    half = len(values) // 2
    writer.write(name, half, values[half:])
    writer.write(name, 0, values[:half])
    writer.finish(name)


def read(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for file in folder.glob("*.safetensors"):
        found |= load_file(file)
    return found


@pytest.mark.parametrize("shard_bytes", [10**9, 40, 1])
def test_what_is_written_is_read_back(tmp_path: Path, shard_bytes: int) -> None:
    writer = FolderWriter(tmp_path, SHAPES, shard_bytes, "digest")
    for name in ("e", "a", "d", "c", "b"):
        write(writer, name)
    writer.close()
    found = read(tmp_path)
    assert found.keys() == SHAPES.keys()
    for name, shape in SHAPES.items():
        assert tuple(found[name].shape) == shape.shape
        assert torch.equal(found[name].view(-1), VALUES[name].to(found[name].dtype))
    headers = read_model_headers(tmp_path, "out")
    assert {name: t.shape for name, t in headers.items()} == {n: s.shape for n, s in SHAPES.items()}
    assert not (tmp_path / JOURNAL).exists()
    assert (tmp_path / "model.safetensors.index.json").is_file() == (shard_bytes < 10**9)


def test_shards_are_as_large_as_allowed_and_named_as_transformers_names_them() -> None:
    shapes = {f"t{n}": TensorShape("F32", (10,)) for n in range(5)}
    shards = lay_out(shapes, 80)
    assert [shard.name for shard in shards] == [
        f"model-{number:05}-of-00003.safetensors" for number in (1, 2, 3)
    ]
    assert [len(shard.starts) for shard in shards] == [2, 2, 1]
    assert total_bytes(shards) > 5 * 40


@given(sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6), shard=st.integers(1, 60))
def test_every_tensor_has_a_place_of_its_own(sizes: list[int], shard: int) -> None:
    kinds = ("F32", "BF16", "I64", "BOOL")
    shapes = {f"t{n}": TensorShape(kinds[n % 4], (size,)) for n, size in enumerate(sizes)}
    for made in lay_out(shapes, shard):
        end = len(made.header)
        for name in sorted(made.starts, key=lambda key: (made.starts[key], shapes[key].nbytes)):
            assert made.starts[name] >= end
            end = made.starts[name] + shapes[name].nbytes
        assert made.size == end
        header: dict[str, Any] = json.loads(made.header[8:])
        assert header.keys() - {"__metadata__"} == made.starts.keys()


def test_metadata_says_that_torch_reads_it(tmp_path: Path) -> None:
    writer = FolderWriter(tmp_path, {"b": SHAPES["b"]}, 10**9, "digest")
    write(writer, "b")
    writer.close()
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_an_abandoned_merge_goes_on_where_it_was(tmp_path: Path) -> None:
    first = FolderWriter(tmp_path, SHAPES, 40, "digest")
    write(first, "a")
    first.abandon()
    second = FolderWriter(tmp_path, SHAPES, 40, "digest")
    assert second.done == {"a"}
    for name in ("b", "c", "d", "e"):
        write(second, name)
    second.close()
    assert torch.equal(read(tmp_path)["a"].view(-1), VALUES["a"].to(torch.bfloat16))


def test_a_torn_line_of_the_journal_is_merged_again(tmp_path: Path) -> None:
    first = FolderWriter(tmp_path, SHAPES, 10**9, "digest")
    for name in ("a", "b"):
        write(first, name)
    first.abandon()
    journal = tmp_path / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-2])
    assert FolderWriter(tmp_path, SHAPES, 10**9, "digest").done == {"a"}


@pytest.mark.parametrize("spoil", ["digest", "file", "journal"])
def test_another_merges_files_are_not_believed(tmp_path: Path, spoil: str) -> None:
    first = FolderWriter(tmp_path, SHAPES, 10**9, "digest")
    write(first, "a")
    first.abandon()
    if spoil == "file":
        os.truncate(tmp_path / "model.safetensors", 20)
    if spoil == "journal":
        (tmp_path / JOURNAL).write_text("{")
    second = FolderWriter(tmp_path, SHAPES, 10**9, "other" if spoil == "digest" else "digest")
    assert second.done == set()


def test_numbers_are_durable_before_the_journal_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    writer = FolderWriter(tmp_path, {"b": SHAPES["b"]}, 10**9, "digest")
    sync, put = os.fdatasync, os.write
    monkeypatch.setattr(os, "fdatasync", lambda file: (order.append("sync"), sync(file))[1])
    monkeypatch.setattr(os, "write", lambda file, data: (order.append("note"), put(file, data))[1])
    write(writer, "b")
    writer.abandon()
    assert order == ["sync", "note", "sync"]


def test_a_full_disk_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module.os, "posix_fallocate", full)
    with pytest.raises(StorageError, match="No space left"):
        FolderWriter(tmp_path, SHAPES, 10**9, "digest")


@pytest.mark.parametrize(("dtype", "number"), [("F16", 1e5), ("F32", float("nan"))])
def test_a_number_that_cannot_be_written_is_refused(
    tmp_path: Path, dtype: str, number: float
) -> None:
    writer = FolderWriter(tmp_path, {"x": TensorShape(dtype, (2,))}, 10**9, "digest")
    with pytest.raises(MergeError, match="'x' has a number"):
        writer.write("x", 0, torch.tensor([1.0, number]))
    writer.abandon()
