"""A stranger's safetensors header is judged before any library parses the file."""

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from adapterhub_lite.deployment.untrusted import MAX_HEADER, check_header, copy_file
from adapterhub_lite.errors import BaseModelError


def write(file: Path, header: Any, room: int = 16) -> Path:
    """Write a file with a header as it is given: a text, or what JSON makes of a value."""
    text = header if isinstance(header, str) else json.dumps(header)
    file.write_bytes(struct.pack("<Q", len(text)) + text.encode() + bytes(room))
    return file


def entry(shape: Any = (2, 2), dtype: Any = "F32", offsets: Any = (0, 16)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_what_safetensors_writes_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    tensors = {"a": torch.zeros(2, 3), "b": torch.zeros(4, dtype=torch.bfloat16)}
    save_file(tensors, file, metadata={"format": "pt"})
    found = check_header(file, "it")
    assert {name: info.shape for name, info in found.items()} == {"a": (2, 3), "b": (4,)}


@pytest.mark.parametrize(
    "header",
    [
        {"a": entry(shape=(0, 2), offsets=(0, 0))},
        {"a": entry(shape=(2**62, 2))},
        {"a": entry(shape=(-2, -2))},
        {"a": entry(shape=(2.0, 2))},
        {"a": entry(shape=(True, 4))},
        {"a": entry(dtype="PICKLE")},
        {"a": entry(dtype=["F32"])},
        {"a": entry(offsets=(0, 32), shape=(8,))},
        {"a": entry(offsets=(16, 0))},
        {"a": entry(offsets=(-16, 0))},
        {"a": entry(offsets="0,16")},
        {"a": 3},
        ["a"],
        f'{{"a": {json.dumps(entry())}, "a": {json.dumps(entry())}}}',
        {str(number): entry() for number in range(20_001)},
        "{" * 100_000,
        "",
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, header: Any) -> None:
    with pytest.raises(BaseModelError, match=r"a\.safetensors of it has no valid header"):
        check_header(write(tmp_path / "a.safetensors", header), "it")


@settings(max_examples=50)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    file = tmp_path_factory.mktemp("fuzz") / "a.safetensors"
    file.write_bytes(data)
    try:
        found = check_header(file, "it")
    except BaseModelError:
        return
    assert found == {}, "two hundred random bytes hold no tensor"


def test_a_long_header_is_not_even_read(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(struct.pack("<Q", MAX_HEADER + 1) + b"{")
    with pytest.raises(BaseModelError, match="would take"):
        check_header(file, "it")


def test_only_a_regular_file_within_the_folder_and_the_limit_is_copied(tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.mkdir()
    copy.mkdir()
    (tmp_path / "secret").write_text("secret")
    (source / "plain").write_text("1234")
    (source / "inside").symlink_to("plain")
    (source / "outside").symlink_to("../secret")
    (source / "loop").symlink_to("loop")
    (source / "folder").mkdir()
    os.mkfifo(source / "pipe")
    for name in ("plain", "inside"):
        copy_file(source, name, 4, copy)
        assert (copy / name).read_text() == "1234"
        assert not (copy / name).is_symlink()
    with pytest.raises(BaseModelError, match="more than"):
        copy_file(source, "plain", 3, copy)
    with pytest.raises(BaseModelError, match="leads out of the folder"):
        copy_file(source, "outside", 100, copy)
    for name in ("folder", "pipe"):
        with pytest.raises(BaseModelError, match="no regular file"):
            copy_file(source, name, 100, copy)
    with pytest.raises((BaseModelError, OSError, RuntimeError)):
        copy_file(source, "loop", 100, copy)
    assert sorted(path.name for path in copy.iterdir()) == ["inside", "plain"]
