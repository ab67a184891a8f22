"""Writes a model's safetensors at offsets: preallocated, in any order, resumable after a kill.

The layout is known before the first number is: so slices go straight to their place, and nothing
is held until a shard is full. A journal beside the files says which tensors are durable.
"""

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import torch

from adapterhub_lite.errors import StorageError
from adapterhub_lite.merging.output import rounded
from adapterhub_lite.streaming.headers import TensorShape
from adapterhub_lite.streaming.layout import Shard, lay_out
from adapterhub_lite.streaming.sources import TORCH_TYPES

JOURNAL: Final = "merge-journal.jsonl"
INDEX: Final = "model.safetensors.index.json"
SECONDS_PER_ENTRY: Final = 5.0
"""How long finished tensors wait for the sync that makes them durable: what a kill can cost."""


class FolderWriter:
    """Writes slices into preallocated files of a folder, and resumes what a killed one began.

    ``digest`` names the merge: a journal of another merge is not believed, and its files are
    written anew. Raises StorageError when the disk is too small or fails.
    """

    def __init__(
        self, folder: Path, tensors: Mapping[str, TensorShape], shard_bytes: int, digest: str
    ) -> None:
        self._folder = folder
        self._tensors = tensors
        self.shards = lay_out(tensors, shard_bytes)
        self._lock = threading.Lock()
        self._waiting: list[str] = []
        self._last_entry = time.monotonic()
        self.done = _read_journal(folder, digest, self.shards)
        with _as_storage_errors(folder):
            if not self.done:
                _make_files(folder, self.shards, digest)
            self._files = {s.name: os.open(folder / s.name, os.O_WRONLY) for s in self.shards}
            self._journal = os.open(folder / JOURNAL, os.O_WRONLY | os.O_APPEND)
        self._places = {
            name: (self._files[shard.name], start)
            for shard in self.shards
            for name, start in shard.starts.items()
        }

    def write(self, name: str, start: int, values: torch.Tensor) -> None:
        """Write a flat slice at its place; float32 is rounded once, to the tensor's dtype."""
        dtype = TORCH_TYPES[self._tensors[name].dtype]
        result = rounded(values, dtype, name).contiguous().view(torch.uint8).numpy()
        file, place = self._places[name]
        place += start * dtype.itemsize
        rest = result.data
        with _as_storage_errors(self._folder):
            while rest:
                written = os.pwrite(file, rest, place)
                rest, place = rest[written:], place + written

    def finish(self, name: str) -> None:
        """Note that a tensor is complete; every few seconds what was noted is made durable."""
        with self._lock:
            self._waiting.append(name)
            if time.monotonic() - self._last_entry >= SECONDS_PER_ENTRY:
                self._note()

    def close(self) -> None:
        """Make everything durable, write the index of shards, and remove the journal."""
        with self._lock, _as_storage_errors(self._folder):
            self._note()
            if len(self.shards) > 1:
                self._write_index()
            self._close_files()
            (self._folder / JOURNAL).unlink()

    def abandon(self) -> None:
        """Close the files and keep them, with the journal, for another try."""
        with self._lock, _as_storage_errors(self._folder):
            self._note()
            self._close_files()

    def _note(self) -> None:
        """Write the waiting names into the journal, once their numbers are durable."""
        with _as_storage_errors(self._folder):
            for file in self._files.values():
                os.fdatasync(file)
            lines = "".join(json.dumps(name) + "\n" for name in self._waiting)
            os.write(self._journal, lines.encode())
            os.fdatasync(self._journal)
        self._waiting.clear()
        self._last_entry = time.monotonic()

    def _write_index(self) -> None:
        places = {name: shard.name for shard in self.shards for name in shard.starts}
        total = sum(tensor.nbytes for tensor in self._tensors.values())
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
        (self._folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")

    def _close_files(self) -> None:
        for file in (*self._files.values(), self._journal):
            os.close(file)


def _make_files(folder: Path, shards: Sequence[Shard], digest: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for shard in shards:
        file = os.open(folder / shard.name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            os.posix_fallocate(file, 0, shard.size)
            os.pwrite(file, shard.header, 0)
        finally:
            os.close(file)
    (folder / JOURNAL).write_text(json.dumps({"merge": digest}) + "\n", encoding="utf-8")


def _read_journal(folder: Path, digest: str, shards: Sequence[Shard]) -> frozenset[str]:
    """Return the tensors that an earlier run of the same merge made durable."""
    try:
        first, *lines = (folder / JOURNAL).read_text(encoding="utf-8").splitlines()
        same = json.loads(first) == {"merge": digest}
        whole = all((folder / shard.name).stat().st_size == shard.size for shard in shards)
    except (OSError, ValueError):
        return frozenset()
    if not same or not whole:
        return frozenset()
    return frozenset(_names(lines))


def _names(lines: Sequence[str]) -> list[str]:
    names = []
    for line in lines:
        try:
            names.append(str(json.loads(line)))
        except ValueError:  # the last line may be torn
            break
    return names


@contextmanager
def _as_storage_errors(folder: Path) -> Iterator[None]:
    """Raise StorageError for what the disk reports."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written: {error.strerror or error}",
            hint="free some space or merge elsewhere; a merge that was begun is resumed",
        ) from error
