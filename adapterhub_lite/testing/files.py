"""What an implementation may write: safetensors and JSON, and nothing of this machine."""

import json
from pathlib import Path
from typing import Final

from adapterhub_lite.architecture import read_header
from adapterhub_lite.errors import BaseModelError
from adapterhub_lite.testing.outcomes import CheckFailedError

TEXTS: Final = frozenset({".txt", ".jinja", ".md", ".model"})
"""Further endings: what tokenizers write beside their JSON."""


def require_plain_files(folder: Path, *secrets: Path) -> None:
    """Raise CheckFailedError for a file of another kind, or one that names one of ``secrets``."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    for file in files:
        name = file.relative_to(folder).as_posix()
        if file.suffix == ".safetensors":
            _require_safetensors(file, name)
        elif file.suffix == ".json":
            _require_json(file, name)
        elif file.suffix not in TEXTS:
            raise CheckFailedError(
                f"{name!r} is neither safetensors nor JSON",
                hint="write tensors with safetensors and everything else as JSON; no pickles",
            )
        named = [secret for secret in secrets if str(secret).encode() in file.read_bytes()]
        if named:
            raise CheckFailedError(
                f"{name!r} names a folder of this machine",
                hint="leave paths out: the artifact's own record says which base it needs",
            )


def _require_safetensors(file: Path, name: str) -> None:
    try:
        read_header(file, name)
    except BaseModelError as error:
        raise CheckFailedError(
            error.message, hint="write it with safetensors' save_file"
        ) from error


def _require_json(file: Path, name: str) -> None:
    try:
        json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckFailedError(f"{name!r} is no JSON: {error}") from error
