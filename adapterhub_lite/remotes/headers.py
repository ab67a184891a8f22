"""The head of a safetensors file, judged while the file comes: before the rest is taken in."""

import struct
from collections.abc import Iterable, Iterator
from io import BytesIO

from adapterhub_lite.deployment.untrusted import MAX_HEADER, check_header_of

PREFIX = 8
"""The bytes that tell how long a header is."""


def with_checked_header(
    chunks: Iterable[bytes], size: int, name: str, where: str
) -> Iterator[bytes]:
    """Hand on the chunks of a file of ``size`` bytes, none of them before its header was judged.

    Raises BaseModelError for one that safetensors should not be asked to parse.
    """
    head = bytearray()
    judged = False
    for chunk in chunks:
        if judged:
            yield chunk
            continue
        head += chunk
        if len(head) < _needed(head):
            continue
        check_header_of(BytesIO(head), size, name, where)
        judged = True
        yield bytes(head)
    if not judged:
        check_header_of(BytesIO(head), size, name, where)


def _needed(head: bytearray) -> int:
    """Return how many bytes tell all, as far as ``head`` lets know; never more than are read."""
    if len(head) < PREFIX:
        return PREFIX
    (length,) = struct.unpack("<Q", head[:PREFIX])
    return PREFIX + int(length) if length <= MAX_HEADER else 0
