"""Manifests as bytes: canonical JSON out, untrusted JSON in."""

import hashlib
import json
import math
from collections.abc import Iterator

import rfc8785
from pydantic import JsonValue, ValidationError

from adapterhub_lite_registry.errors import (
    IntegrityError,
    InvalidManifestError,
    InvalidNameError,
)
from adapterhub_lite_registry.manifest import Manifest, ManifestDraft
from adapterhub_lite_registry.names import check_name, check_paths

MAX_BYTES = 8 << 20
_MAX_INT = 2**53 - 1
_MAX_DEPTH = 64


def digest_of(data: bytes) -> str:
    """Return ``sha256:`` and the hex digest of ``data``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def encode(record: ManifestDraft) -> bytes:
    """Return the canonical JSON (RFC 8785) of a manifest or a draft.

    InvalidManifestError names the first field that canonical JSON cannot hold.
    """
    try:
        value = record.model_dump(mode="json", by_alias=True, exclude_none=True)
        for field, reason in _faults(value):
            raise InvalidManifestError(f"manifest field {field!r} {reason}")
        data = rfc8785.dumps(value)
    except ValueError as error:  # text that is not Unicode
        raise InvalidManifestError(f"manifest cannot be written as JSON: {error}") from error
    if len(data) > MAX_BYTES:
        raise InvalidManifestError(
            f"the manifest has {len(data):,} bytes; {MAX_BYTES:,} are the limit",
            hint="publish long lists as a file of the version",
        )
    return data


def decode(data: bytes, digest: str, where: str) -> Manifest:
    """Parse a stored manifest; IntegrityError if it is not what ``digest`` and the schema say."""
    if digest_of(data) != digest:
        raise IntegrityError(f"{where}: the manifest does not match its digest", hint=FSCK_HINT)
    try:
        manifest = Manifest.model_validate_json(data)
        check_name(manifest.name)
        check_paths(entry.path for entry in manifest.files)
        for field, reason in _faults(manifest.model_dump(include={"metrics", "parents"})):
            raise InvalidManifestError(f"manifest field {field!r} {reason}")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "document"
        raise IntegrityError(f"{where}: manifest field {field!r}: {first['msg']}") from error
    except (InvalidNameError, InvalidManifestError) as error:
        raise IntegrityError(f"{where}: {error.message}") from error
    return manifest


def is_canonical(data: bytes) -> bool:
    """Tell whether bytes are canonical JSON: there is no other way to write what they say."""
    try:
        return rfc8785.dumps(json.loads(data, parse_int=_number)) == data
    except (ValueError, RecursionError):
        return False


def _number(digits: str) -> int | float:
    """Return a number without a point; a large one was a float, which is written without one."""
    value = int(digits)
    return value if abs(value) <= _MAX_INT else float(digits)


FSCK_HINT = "run 'ahl fsck' to see what is damaged, and 'ahl repair' to mend it"


def _faults(value: JsonValue, field: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    if depth > _MAX_DEPTH:
        yield field[:80], f"is nested deeper than {_MAX_DEPTH}"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _faults(item, f"{field}.{key}" if field else key, depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _faults(item, f"{field}.{index}", depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        yield field, f"is {value}, which JSON cannot hold"
    elif isinstance(value, int) and abs(value) > _MAX_INT:
        yield field, "is an integer beyond 2^53: write it as a string"
