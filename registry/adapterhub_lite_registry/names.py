"""What names, aliases, references and paths may look like."""

import difflib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from adapterhub_lite_registry.errors import InvalidManifestError, InvalidNameError

NAME_RULE = r"[a-z0-9][a-z0-9._-]{0,62}"
_NAME = re.compile(NAME_RULE)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_RULE_IN_WORDS = (
    "lower-case letters, digits, '.', '_' and '-', 63 at most, not starting with a sign"
)
_MAX_PATH = 1024
_MAX_PART = 255


@dataclass(frozen=True)
class Reference:
    """``name``, ``name@7``, ``name@prod`` or ``name@sha256:…``, taken apart."""

    name: str
    number: int | None = None
    alias: str | None = None
    digest: str | None = None


def check_name(name: str, what: str = "name") -> str:
    """Return ``name`` if it follows the rule; InvalidNameError suggests one that does."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    hint = f"use {_RULE_IN_WORDS}; for example {suggest_name(str(name))!r}"
    raise InvalidNameError(f"{what} {name!r} is not allowed", hint=hint)


def check_alias(alias: str) -> str:
    """Return ``alias`` if it follows the rule and cannot be taken for a version's number."""
    check_name(alias, "alias")
    if alias.isdigit():
        raise InvalidNameError(
            f"alias {alias!r} would read as a version number", hint=f"for example 'v{alias}'"
        )
    return alias


def suggest_name(text: str) -> str:
    """Return the nearest allowed name."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    joined = re.sub(r"[^a-z0-9._-]+", "-", plain).lstrip("._-")[:63].rstrip("._-")
    return joined or "my-adapter"


def parse_reference(text: str) -> Reference:
    """Take a reference apart; InvalidNameError if any part breaks its rule."""
    name, at, target = text.partition("@")
    check_name(name)
    if not at:
        return Reference(name)
    if _DIGEST.fullmatch(target):
        return Reference(name, digest=target)
    if re.fullmatch(r"[0-9]{1,18}", target):
        return Reference(name, number=int(target))
    if not target:
        raise InvalidNameError(
            f"reference {text!r} ends in '@'", hint=f"write {name!r}, '{name}@7' or '{name}@prod'"
        )
    return Reference(name, alias=check_alias(target))


def is_digest(text: str) -> bool:
    """Tell whether ``text`` is ``sha256:`` and 64 lower-case hex digits."""
    return _DIGEST.fullmatch(text) is not None


def check_paths(paths: Iterable[str]) -> None:
    """Check the file paths of one version; InvalidManifestError names the first bad one.

    They are relative POSIX paths that stay inside their folder on any system, none is given
    twice, and none is both a file and a folder. Two that differ only in case, or in how an accent
    is written, would be one file on some systems, so they count as the same.
    """
    seen: set[str] = set()
    folders: set[str] = set()
    for path in paths:
        _check_path(path)
        folded = unicodedata.normalize("NFD", path).casefold()
        if folded in seen:
            raise InvalidManifestError(f"file {path!r} is listed twice")
        seen.add(folded)
        parts = folded.split("/")
        folders.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
    if both := sorted(seen & folders):
        raise InvalidManifestError(f"path {both[0]!r} is both a file and a folder")


def _check_path(path: str) -> None:
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise InvalidManifestError(
            f"file path {path!r} is not a plain relative path",
            hint="no leading or doubled '/', no '.' and no '..'",
        )
    if any(letter in "\\:" or unicodedata.category(letter)[0] == "C" for letter in path):
        raise InvalidManifestError(f"file path {path!r} has '\\', ':' or a control character")
    if len(path) > _MAX_PATH or any(len(part.encode()) > _MAX_PART for part in parts):
        raise InvalidManifestError(f"file path {path[:40] + '…'!r} is too long")


def nearest_hint(wanted: str, known: Iterable[str], what: str) -> str:
    """Return a hint that names the nearest of ``known``, or lists a few of them."""
    choices = sorted(known)
    if near := difflib.get_close_matches(wanted, choices, n=1, cutoff=0.5):
        return f"did you mean {near[0]!r}?"
    if not choices:
        return ""
    shown = ", ".join(choices[:8]) + (", …" if len(choices) > 8 else "")
    return f"{what}: {shown}"
