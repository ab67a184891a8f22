"""Weights of a stranger are read once; what was judged is what is written, and is known again."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from adapterhub_lite.deployment import weights
from adapterhub_lite.deployment.weights import copy_weights, remembering
from adapterhub_lite.errors import BaseModelError

NAME = "model.safetensors"
LIMIT = 2**30


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    tensors = {name: torch.randn(700_000, generator=generator) for name in ("a", "b")}
    save_file(tensors, folder / NAME)
    return folder


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    (tmp_path / "copies").mkdir()
    return tmp_path / "copies"


def digest(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()


def test_a_copy_is_known_by_its_hash_wherever_it_is_moved(source: Path, copies: Path) -> None:
    with remembering() as judged:
        copy_weights(source, NAME, LIMIT, copies)
        (copies / "config.json").write_text("{}")
        (copies / NAME).rename(copies / "other")
        assert judged.hashes(copies) == {"other": digest(source / NAME)}
    assert (copies / "other").read_bytes() == (source / NAME).read_bytes()


def test_a_copy_is_dated_back_so_that_a_write_within_a_tick_shows(
    source: Path, copies: Path
) -> None:
    began = time.time_ns()
    with remembering():
        copy_weights(source, NAME, LIMIT, copies)
    assert (copies / NAME).stat().st_mtime_ns < began


@pytest.mark.parametrize("keeps_size", [True, False])
def test_a_copy_that_is_written_to_is_not(source: Path, copies: Path, keeps_size: bool) -> None:
    with remembering() as judged:
        copy_weights(source, NAME, LIMIT, copies)
        (copies / NAME).chmod(0o644)
        with (copies / NAME).open("r+b") as stream:
            stream.seek(-1 if keeps_size else 0, os.SEEK_END)
            stream.write(b"\0")
        assert judged.hashes(copies) == {}


def test_a_file_that_takes_the_place_of_a_copy_is_not(source: Path, copies: Path) -> None:
    with remembering() as judged:
        copy_weights(source, NAME, LIMIT, copies)
        save_file({"c": torch.ones(1)}, copies / "new")
        (copies / "new").rename(copies / NAME)
        assert judged.hashes(copies) == {}


def test_nothing_is_known_of_another_import(source: Path, copies: Path) -> None:
    copy_weights(source, NAME, LIMIT, copies)
    with remembering() as judged:
        assert judged.hashes(copies) == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda file: os.truncate(file, file.stat().st_size - 4),
        lambda file: file.write_bytes(file.read_bytes() + b"more"),
    ],
)
def test_what_changes_while_it_is_read_is_refused(
    source: Path,
    copies: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], object],
) -> None:
    true_opened = weights.opened

    @contextmanager
    def opened(*args: Any) -> Iterator[Any]:
        with true_opened(*args) as stream:

            def read(size: int) -> bytes:
                if stream.tell() == 0:
                    change(source / NAME)
                return bytes(os.read(stream.fileno(), size))

            yield type("Changing", (), {"fileno": stream.fileno, "read": staticmethod(read)})

    monkeypatch.setattr(weights, "opened", opened)
    with remembering() as judged, pytest.raises(BaseModelError, match="changed while"):
        copy_weights(source, NAME, LIMIT, copies)
    assert judged.hashes(copies) == {}


def test_a_number_that_is_not_finite_is_refused(source: Path, copies: Path) -> None:
    save_file({"a": torch.tensor([1.0, float("nan")])}, source / "bad.safetensors")
    with pytest.raises(BaseModelError, match="not finite, in 'a'"):
        copy_weights(source, "bad.safetensors", LIMIT, copies)


def test_a_header_that_lies_is_refused_before_the_rest_is_read(source: Path, copies: Path) -> None:
    with (source / NAME).open("r+b") as stream:
        stream.seek(8)
        stream.write(b"[")
    with pytest.raises(BaseModelError, match="has no valid header"):
        copy_weights(source, NAME, LIMIT, copies)
    assert (copies / NAME).stat().st_size == 0
