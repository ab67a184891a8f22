"""Which rows go through a model together."""

from collections.abc import Iterator, Sequence
from typing import Final

BATCH_TOKENS: Final = 4096
"""How many tokens, padding counted, go through a model at once."""


def batches_by_length(
    lengths: Sequence[int], budget: int = BATCH_TOKENS, *, equal: bool = False
) -> Iterator[list[int]]:
    """Yield numbers in batches of similar length, each within ``budget`` padded tokens.

    With ``equal`` all of a batch have one length, and nothing is padded.
    """
    batch: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        full = batch and lengths[number] * (len(batch) + 1) > budget
        other = batch and equal and lengths[number] != lengths[batch[0]]
        if full or other:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
