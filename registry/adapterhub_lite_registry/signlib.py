"""The optional library that signs: found or told to be missing, and its errors made ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final

from adapterhub_lite_registry.errors import SignatureError

INSTALL: Final = "run: pip install 'adapterhub-lite[signing]'"
SHOWN: Final = 200


def library() -> Any:
    """Return the modules of model-signing; SignatureError where they cannot be imported."""
    try:
        from model_signing import hashing, manifest, signing, verifying
        from model_signing._hashing.hashing import Digest  # what a manifest's items hold
    except ImportError as error:
        raise SignatureError(
            f"signatures can neither be made nor checked: {error}", hint=INSTALL
        ) from error
    return SimpleNamespace(
        hashing=hashing, manifest=manifest, signing=signing, verifying=verifying, Digest=Digest
    )


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turn whatever the libraries raise into a SignatureError: each mode has errors of its own."""
    try:
        yield
    except SignatureError:
        raise
    except Exception as error:
        raise SignatureError(f"{what} ({one_line(error)})") from error


def one_line(what: object) -> str:
    """Return a stranger's words, short and in one line."""
    text = " ".join(str(what).split()) or type(what).__name__
    printable = "".join(letter if letter.isprintable() else "?" for letter in text)
    return printable if len(printable) <= SHOWN else f"{printable[:SHOWN]}…"
