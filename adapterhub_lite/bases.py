"""Find a base model by what the user wrote, and fingerprint it.

In order: a folder; what a plugin knows (packaged models, the hub); a registry reference.
"""

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite.architecture import weight_files
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import (
    BaseModelError,
    InvalidNameError,
    NotFoundError,
    nearest_name,
)
from adapterhub_lite.specs import ResolvedBase

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry, Version

TOKENIZER_FILES = (
    "merges.txt",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
PACKAGED = ("minilm",)
SETTLED_NS = 2_000_000_000
"""File times tick coarsely: a file changed less than this ago may change again unseen."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """SHA-256 of a base's config, weights and tokenizer: two bases are one if these agree."""

    config: str
    weights: str
    tokenizer: str


def resolve_base(ref: str, catalogue: Catalogue, registry: "Registry") -> ResolvedBase:
    """Find the base that ``ref`` names.

    Raises BaseModelError, saying what was tried, or MissingDependencyError with the pip line.
    """
    folder = Path(ref).expanduser()
    if folder.is_dir():
        return ResolvedBase(ref=ref, path=str(folder.resolve()), source="path")
    found = resolve_named_base(ref, catalogue, registry)
    if found is None:
        raise _not_found(ref, folder, registry)
    return found


def resolve_named_base(ref: str, catalogue: Catalogue, registry: "Registry") -> ResolvedBase | None:
    """Find the base that ``ref`` names, which is no path: a folder of that name is not looked at.

    Returns None when nobody knows it. Raises as :func:`resolve_base` otherwise.
    """
    return catalogue.resolve_base(ref) or _published(ref, registry)


def _published(ref: str, registry: "Registry") -> ResolvedBase | None:
    try:
        version = registry.resolve(ref)
    except (InvalidNameError, NotFoundError):
        return None
    _refuse_adapter(version)
    return ResolvedBase(
        ref=str(version),
        path=str(registry.path(version)),
        source="registry",
        revision=version.digest,
    )


def _refuse_adapter(version: "Version") -> None:
    if version.manifest.kind == "adapter":
        raise BaseModelError(
            f"{version} is an adapter, and a base is a whole model",
            ref=str(version),
            hint=f"merge it into its base first: ahl bake {version} --into NAME",
        )


def _not_found(ref: str, folder: Path, registry: "Registry") -> BaseModelError:
    if folder.is_file():
        message = f"the base {ref!r} is a file, not a model folder"
    else:
        message = f"no base model {ref!r}: no folder {folder.absolute()}, no packaged model, "
        message += "no version in the registry"
    near = nearest_name(ref, [*PACKAGED, *registry.names()])
    hint = f"did you mean {near!r}? " if near else ""
    hint += "a base is a folder, 'minilm', a hub id (owner/name) or a registry reference"
    return BaseModelError(message, ref=ref, hint=hint)


def fingerprint(base: ResolvedBase) -> Fingerprint:
    """Hash a base's config, weights and tokenizer files."""
    folder = Path(base.path)
    tokenizer = [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]
    return Fingerprint(
        config=_canonical_config_digest(folder / "config.json"),
        weights=_digest_of_files(weight_files(folder, base.ref)),
        tokenizer=_digest_of_files(tokenizer),
    )


def _canonical_config_digest(path: Path) -> str:
    """Hash a config by its content, so that another indentation is not another base."""
    config = json.loads(path.read_text(encoding="utf-8"))
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


@lru_cache(maxsize=256)
def _known_digest(file: Path, stamp: tuple[int, ...]) -> str:
    """Hash a file, of which ``stamp`` tells whether it is the same as the last time.

    A base is asked for several times while one adapter is made, and is large.
    """
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _digest_of_files(files: Iterable[Path]) -> str:
    """Hash one file's bytes, or for several the list of their names and hashes."""
    digests = []
    for file in files:
        found = file.stat()
        stamp = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        is_settled = time.time_ns() - found.st_ctime_ns > SETTLED_NS
        digest = _known_digest if is_settled else _known_digest.__wrapped__
        digests.append((file.name, digest(file, stamp)))
    if len(digests) == 1:
        return digests[0][1]
    return hashlib.sha256(json.dumps(sorted(digests)).encode()).hexdigest()
