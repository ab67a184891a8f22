"""The numbers of a safetensors file, looked at while the file comes: each has to be finite.

A number that is not finite has an exponent of ones alone. That is seen in its bits, without a
conversion, which bfloat16 would need.
"""

import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from adapterhub_lite.errors import BaseModelError

BITS: Final = {
    "F64": (8, 0x7FF0_0000_0000_0000),
    "F32": (4, 0x7F80_0000),
    "F16": (2, 0x7C00),
    "BF16": (2, 0x7F80),
    "F8_E5M2": (1, 0x7C),
    "F8_E4M3": (1, 0x7F),
}
"""The dtypes with numbers that are not finite: bytes of a number, and the bits that tell.

They are those of the exponent; E4M3 has no infinity, and its NaN has all bits set.
"""
BLOCK: Final = 1 << 20
"""So many bytes are looked at together."""


@dataclass(frozen=True, slots=True)
class _Span:
    """Where a tensor's numbers lie in the file, and how one of them is looked at."""

    begin: int
    end: int
    name: str
    width: int
    bits: int


def with_finite_numbers(chunks: Iterable[bytes], name: str, where: str) -> Iterator[bytes]:
    """Hand on the chunks of a file, the first of which has its whole header, already judged.

    Memory is that of a chunk and some. Raises BaseModelError, naming the tensor, before the chunk
    in which a number ends that is not finite.
    """
    scan: _Scan | None = None
    for chunk in chunks:
        scan = scan or _Scan(chunk)
        if (tensor := scan.first_fault(chunk)) is not None:
            raise not_finite(name, where, tensor)
        yield chunk


def not_finite(name: str, where: str, tensor: str) -> BaseModelError:
    """Return the error for a file of that name with such a number in a tensor."""
    return BaseModelError(
        f"{name} of {where} has a number that is not finite, in {tensor!r}",
        ref=where,
        hint="such weights answer with nonsense; ask who made them",
    )


def first_fault(file: Path) -> str | None:
    """Return the first tensor of a file with a number that is not finite; its header is right."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        stream.seek(0)
        head = stream.read(8 + length)
        scan = _Scan(head)
        scan.first_fault(head)
        blocks = iter(lambda: stream.read(BLOCK), b"")
        return next((tensor for block in blocks if (tensor := scan.first_fault(block))), None)


class _Scan:
    """Goes over a file from its beginning."""

    def __init__(self, head: bytes) -> None:
        (length,) = struct.unpack("<Q", head[:8])
        header: dict[str, Any] = json.loads(head[8 : 8 + length])
        header.pop("__metadata__", None)
        spans = [_span(name, entry, 8 + length) for name, entry in header.items()]
        self._spans = sorted(
            (span for span in spans if span is not None), key=lambda span: span.begin, reverse=True
        )
        self._place = 0
        self._rest = b""

    def first_fault(self, chunk: bytes) -> str | None:
        """Return the tensor of the first number in the next bytes that is not finite."""
        start, end = self._place, self._place + len(chunk)
        self._place = end
        while self._spans and self._spans[-1].begin < end:
            span = self._spans[-1]
            part = memoryview(chunk)[max(span.begin - start, 0) : span.end - start]
            if self._rest:
                part = memoryview(self._rest + part)
            whole = len(part) // span.width * span.width
            if _has_fault(part[:whole], span):
                return span.name
            self._rest = bytes(part[whole:])
            if span.end > end:
                return None
            self._spans.pop()
        return None


def _span(name: str, entry: dict[str, Any], data: int) -> _Span | None:
    if entry["dtype"] not in BITS:
        return None
    begin, end = entry["data_offsets"]
    return _Span(data + begin, data + end, name, *BITS[entry["dtype"]])


def _has_fault(part: memoryview, span: _Span) -> bool:
    import numpy as np

    bits = np.array(span.bits, dtype=f"<u{span.width}")
    numbers = np.frombuffer(part, bits.dtype)
    step = BLOCK // span.width
    return any(
        (numbers[start : start + step] & bits).max() == bits
        for start in range(0, len(numbers), step)
    )
