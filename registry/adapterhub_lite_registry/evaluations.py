"""What versions scored after they were published: records beside them, since they never change.

::

    evaluations/<hex of the version's digest>/<time>-<start of the record's SHA-256>.json

A record is written once and never touched again; its name tells whether its bytes are still those
that were written. Removing a version removes its records.
"""

import hashlib
from pathlib import Path
from typing import Literal

import rfc8785
from pydantic import Field, JsonValue, ValidationError

from adapterhub_lite_registry.codec import MAX_BYTES
from adapterhub_lite_registry.errors import IntegrityError, InvalidManifestError
from adapterhub_lite_registry.faults import guarded
from adapterhub_lite_registry.io import FileIO, ensure_dir, exists, read_small, remove_tree
from adapterhub_lite_registry.layout import Layout, open_layout
from adapterhub_lite_registry.manifest import (
    Dataset,
    Digest,
    Many,
    Metric,
    Record,
    Text,
    Timestamp,
    now,
)
from adapterhub_lite_registry.problems import Problem
from adapterhub_lite_registry.temporary import Workspace
from adapterhub_lite_registry.versions import Version

_MARK = 16


class EvaluationDraft(Record):
    """All of a record that its author knows; storing adds the rest.

    ``signatures`` says of some metrics how they were computed; ``details`` are tables, without a
    word of the data.
    """

    task: Text
    dataset: Dataset
    metrics: Many[Metric] = ()
    signatures: dict[str, str] = Field(default_factory=dict)
    notes: Many[str] = ()
    details: dict[str, JsonValue] = Field(default_factory=dict)
    env: dict[str, str] = Field(default_factory=dict)


class EvaluationRecord(EvaluationDraft):
    """How one version did on one data set, at one time."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    version: Text
    digest: Digest
    time: Timestamp


class EvaluationStore:
    """Keeps and lists the evaluations of versions; every method raises StorageError."""

    def __init__(self, io: FileIO, layout: Layout) -> None:
        self._io = io
        self._layout = layout
        self._root = layout.evaluations

    @classmethod
    @guarded("open the evaluations")
    def open(cls, home: Path, io: FileIO | None = None) -> "EvaluationStore":
        """Open the evaluations of the registry at ``home``; NotFoundError if there is none."""
        disk = io or FileIO()
        return cls(disk, open_layout(home, disk, create=False))

    @guarded("record the evaluation")
    def add(self, version: Version, draft: EvaluationDraft) -> EvaluationRecord:
        """Store a record, durably and in one step, and return it.

        InvalidManifestError if it holds what JSON cannot, or is too large.
        """
        record = EvaluationRecord(
            **{name: getattr(draft, name) for name in EvaluationDraft.model_fields},
            version=str(version),
            digest=version.digest,
            time=now(),
        )
        data = _encode(record)
        folder = self._folder(version.digest)
        self._prepare(folder)
        with Workspace(self._io, self._layout.tmp) as work:
            self._io.link(work.write(data, mode=0o444), f"{folder}/{_file_name(record.time, data)}")
        self._io.fsync_dir(folder)
        return record

    @guarded("read the evaluations")
    def of(self, version: Version) -> tuple[list[EvaluationRecord], list[Problem]]:
        """Return a version's records, oldest first, and the files that are damaged."""
        folder = self._folder(version.digest)
        if not exists(self._io, folder):
            return [], []
        records, problems = [], []
        for entry in sorted(self._io.listdir(folder)):
            path = f"{folder}/{entry}"
            try:
                records.append(self._read(path, entry, version.digest))
            except IntegrityError as error:
                problems.append(Problem(self._layout.relative(path), error.message))
        return records, problems

    @guarded("remove the evaluations")
    def forget(self, digest: str) -> None:
        """Remove all records of a removed version; a power cut may leave them to a collection."""
        if exists(self._io, self._root):
            remove_tree(self._io, self._folder(digest))

    def _folder(self, digest: str) -> str:
        return f"{self._root}/{digest.removeprefix('sha256:')}"

    def _prepare(self, folder: str) -> None:
        """Make the folders durable; another process may be making them too, so sync always."""
        ensure_dir(self._io, self._root)
        self._io.fsync_dir(self._layout.home)
        ensure_dir(self._io, folder)
        self._io.fsync_dir(self._root)

    def _read(self, path: str, entry: str, digest: str) -> EvaluationRecord:
        data = read_small(self._io, path, MAX_BYTES)
        try:
            record = EvaluationRecord.model_validate_json(data)
        except ValidationError as error:
            raise IntegrityError("the record does not parse") from error
        if record.digest != digest or entry != _file_name(record.time, data):
            raise IntegrityError("the record is not what was written")
        return record


def _encode(record: EvaluationRecord) -> bytes:
    try:
        value = record.model_dump(mode="json", by_alias=True, exclude_none=True)
        data = rfc8785.dumps(value)
    except ValueError as error:  # a number that is not finite, text that is not Unicode
        raise InvalidManifestError(f"the evaluation cannot be written as JSON: {error}") from error
    if len(data) > MAX_BYTES:
        raise InvalidManifestError(
            f"the evaluation has {len(data):,} bytes; {MAX_BYTES:,} are the limit"
        )
    return data


def _file_name(time: str, data: bytes) -> str:
    return f"{time.replace(':', '')}-{hashlib.sha256(data).hexdigest()[:_MARK]}.json"
