"""Random numbers that can be begun anywhere: each depends on its place alone, not on chunks."""

import hashlib
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

LEVELS: Final = 65536
"""How many values a draw can have: probabilities are multiples of one over this."""
PER_WORD: Final = 4
"""Draws that one 64-bit word of the generator gives."""


def stream_key(*parts: str | int) -> int:
    """Return the key of the stream that these names have to themselves."""
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "little")


def draws(key: int, start: int, stop: int) -> torch.Tensor:
    """Return draws ``start:stop`` of a stream, as float32 whole numbers from 0 to 65535.

    PCG64DXSM, numpy's choice for parallel streams: it jumps to any place, at half of Philox's cost.
    16 bits a draw.
    """
    return torch.from_numpy(_drawn(key, start, stop).astype(np.float32))


def _drawn(key: int, start: int, stop: int) -> NDArray[np.uint16]:
    first = start // PER_WORD
    words = -(-stop // PER_WORD) - first
    raw = np.random.PCG64DXSM(key).advance(first).random_raw(words)
    skipped = start - first * PER_WORD
    drawn: NDArray[np.uint16] = raw.astype("<u8", copy=False).view("<u2")
    return drawn[skipped : skipped + stop - start]


def resolved(probability: float) -> float:
    """Return the probability that draws really have: rounded to 16 bits."""
    return float(round(probability * LEVELS) / LEVELS)


def keep_mask(key: int, start: int, stop: int, probability: float) -> torch.Tensor:
    """Return 1.0 with that probability (as :func:`resolved`), else 0.0, for each place."""
    kept = _drawn(key, start, stop) < round(probability * LEVELS)
    return torch.from_numpy(kept.view(np.uint8)).to(torch.float32)
