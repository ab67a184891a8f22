"""What versions scored after they were published: records beside them, since they never change.

::

    evaluations/<hex of the version's digest>/<time>-<start of the record's SHA-256>.json

A record is written once and never touched again.
"""

import hashlib
from pathlib import Path
from typing import Literal

import rfc8785
from pydantic import Field, JsonValue, ValidationError

from adapterhub_lite_registry.attachments import Attachments
from adapterhub_lite_registry.codec import MAX_BYTES
from adapterhub_lite_registry.errors import IntegrityError, InvalidManifestError
from adapterhub_lite_registry.faults import guarded
from adapterhub_lite_registry.io import FileIO
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
        self._records = Attachments(io, layout, layout.evaluations)

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
        self._records.put(version.digest, _file_name(record.time, data), data)
        return record

    @guarded("read the evaluations")
    def of(self, version: Version) -> tuple[list[EvaluationRecord], list[Problem]]:
        """Return a version's records, oldest first, and the files that are damaged."""
        records, problems = [], []
        for name in self._records.names(version.digest):
            try:
                records.append(self._read(version.digest, name))
            except IntegrityError as error:
                place = self._records.place(version.digest, name)
                problems.append(Problem(place, error.message))
        return records, problems

    @guarded("remove the evaluations")
    def forget(self, digest: str) -> None:
        """Remove all records of a removed version; a power cut may leave them to a collection."""
        self._records.forget(digest)

    def _read(self, digest: str, name: str) -> EvaluationRecord:
        data = self._records.read(digest, name, MAX_BYTES)
        try:
            record = EvaluationRecord.model_validate_json(data)
        except ValidationError as error:
            raise IntegrityError("the record does not parse") from error
        if record.digest != digest or name != _file_name(record.time, data):
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
