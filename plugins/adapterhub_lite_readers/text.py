"""Bytes become text, or an error that says where they do not and what they may be instead."""

import codecs
from pathlib import Path
from typing import Final

from adapterhub_lite.errors import DataError

# UTF-32's mark begins with UTF-16's, so it is looked for first.
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8"),
)
_BINARY: Final = (
    (b"PK\x03\x04", "a ZIP archive or Excel workbook: save it as CSV first"),
    (b"PAR1", "a Parquet file: --format parquet"),
    (b"\x1f\x8b", "compressed with gzip: decompress it first"),
)


def read_text(path: Path, encoding: str) -> str:
    """Read a text file, dropping a byte-order mark; line ends stay as they are.

    Raises DataError for an unknown encoding and, with the place, for bytes that do not fit it.
    """
    content = path.read_bytes()
    for magic, what in _BINARY:
        if content.startswith(magic):
            raise DataError(f"{path}: not text", path=str(path), hint=f"it is {what}")
    try:
        text = content.decode(encoding)
    except LookupError:
        raise DataError(
            f"{path}: unknown encoding {encoding!r}",
            path=str(path),
            hint="common ones: utf-8, utf-16, cp1252, latin-1, shift_jis, gb18030",
        ) from None
    except UnicodeError as error:
        raise _undecodable(path, content, encoding, error) from error
    if "\0" in text:
        raise DataError(
            f"{path}: a NUL character at offset {text.index(chr(0))}, which no text has",
            path=str(path),
            hint="it may be UTF-16 without a byte-order mark: --encoding utf-16-le",
        )
    return text.removeprefix("\ufeff")


def _undecodable(path: Path, content: bytes, encoding: str, error: UnicodeError) -> DataError:
    place = ""
    if isinstance(error, UnicodeDecodeError):
        line = content.count(b"\n", 0, error.start) + 1
        place = f" at byte {error.start} (line {line})"
    guess = _guess(content, encoding)
    hint = f"try --encoding {guess}" if guess else "name its encoding with --encoding"
    return DataError(f"{path}: not {encoding}{place}", path=str(path), hint=hint)


def _guess(content: bytes, tried: str) -> str | None:
    """Return the encoding that a byte-order mark names, or the one Windows used to write."""
    for mark, name in _MARKS:
        if content.startswith(mark):
            return name
    for name in ("utf-8", "cp1252"):
        if codecs.lookup(tried).name != name:
            try:
                content.decode(name)
            except UnicodeDecodeError:
                continue
            return name
    return None
