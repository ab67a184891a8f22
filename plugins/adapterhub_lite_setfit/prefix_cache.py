"""Run the frozen lower layers once, keep what came out, and train only what lies above.

The model's own forward is used for both passes. While training, the frozen layers are replaced by
modules that hand on the kept hidden states, so masks, position embeddings and everything else an
architecture computes around its layers stay its own.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from adapterhub_lite.data.batching import batches_by_length
from adapterhub_lite.errors import BaseModelError
from adapterhub_lite.transformer import layer_stack
from adapterhub_lite_setfit.encoder import Encoder, Tokens

MAX_CACHE_BYTES = 2 * 1024**3
TOLERANCE = 1e-4
"""How far an embedding through the cache may be from one without: other padding, other sums."""


class _Replay(torch.nn.Module):
    """Stands for a frozen layer: returns the kept hidden states in the layer's own form.

    Everything else that a model asks of its layers (an attention type, say) the layer answers.
    """

    def __init__(self, layer: torch.nn.Module, cache: "PrefixCache") -> None:
        super().__init__()
        # Past torch's own bookkeeping: neither is a part of this module.
        self.__dict__.update(layer=layer, cache=cache)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["layer"], name)

    def forward(self, *_: Any, **__: Any) -> Any:
        hidden, rest = self.cache.current, self.cache.rest
        return hidden if rest is None else (hidden, *rest)


@dataclass(slots=True)
class PrefixCache:
    """Hidden states of rows below the first trainable layer; ``depth`` 0 means nothing is kept.

    ``embeddings`` (rows, width) are the frozen encoder's. ``rest`` is what a layer returns behind
    the hidden states, ``current`` the states of the batch that is being computed.
    """

    encoder: Encoder
    rows: Sequence[Tokens]
    embeddings: NDArray[np.float64]
    depth: int = 0
    hidden: list[torch.Tensor] = field(default_factory=list)
    rest: tuple[Any, ...] | None = None
    current: torch.Tensor = field(default_factory=lambda: torch.empty(0))

    @contextmanager
    def active(self) -> Iterator["PrefixCache"]:
        """Swap the frozen layers out, and back in at the end whatever happens."""
        if self.depth == 0:
            yield self
            return
        _, layers = layer_stack(self.encoder.model)
        originals = [layers[i] for i in range(self.depth)]
        try:
            for i, layer in enumerate(originals):
                layers[i] = _Replay(layer, self)
            yield self
        finally:
            for i, layer in enumerate(originals):
                layers[i] = layer

    def forward(self, batch: Sequence[int]) -> torch.Tensor:
        """Embed rows by number, (rows, width); inside :meth:`active` only the top is computed."""
        rows = [self.rows[i] for i in batch]
        if self.depth:
            longest = max(len(row) for row in rows)
            hidden = torch.zeros(len(rows), longest, self.hidden[batch[0]].shape[-1])
            for number, i in enumerate(batch):
                hidden[number, : len(self.rows[i])] = self.hidden[i]
            self.current = hidden.to(self.encoder.device)
        return self.encoder.forward(rows)

    def embed(self) -> NDArray[np.float64]:
        """Embed all rows without gradient: (rows, width)."""
        out = np.empty((len(self.rows), self.encoder.width))
        with torch.inference_mode():
            for batch in batches_by_length([*map(len, self.rows)]):
                out[batch] = self.forward(batch).cpu().numpy()
        return out


def build_cache(encoder: Encoder, rows: Sequence[Tokens], trainable: frozenset[str]) -> PrefixCache:
    """Embed all rows with the frozen encoder, keeping hidden states where that is possible.

    Where an architecture does not allow the
    replay (its layers pass on more than hidden states, say), the cache is empty and every step
    runs the whole encoder: slower, and the same numbers.
    """
    depth = frozen_depth(encoder.model, trainable)
    tokens = sum(len(row) for row in rows)
    if depth == 0 or tokens * encoder.width * 4 > MAX_CACHE_BYTES:
        return PrefixCache(encoder, rows, encoder.embed(rows))
    cache = _record(encoder, rows, depth)
    if cache.depth and not _replays_exactly(cache):
        return PrefixCache(encoder, rows, cache.embeddings)
    return cache


def frozen_depth(model: torch.nn.Module, trainable: frozenset[str]) -> int:
    """Return how many layers lie below all that learns; 0 when something else learns too."""
    try:
        prefix, layers = layer_stack(model)
    except BaseModelError:
        return 0
    if not trainable:
        return len(layers)
    lowest = len(layers)
    for name in trainable:
        number = name.removeprefix(f"{prefix}.").split(".", 1)[0]
        if not name.startswith(f"{prefix}.") or not number.isdigit():
            return 0
        lowest = min(lowest, int(number))
    return lowest


def _record(encoder: Encoder, rows: Sequence[Tokens], depth: int) -> PrefixCache:
    _, layers = layer_stack(encoder.model)
    outputs: list[Any] = []
    handle = layers[depth - 1].register_forward_hook(lambda _, __, output: outputs.append(output))
    hidden: list[torch.Tensor] = [torch.empty(0)] * len(rows)
    embeddings = np.empty((len(rows), encoder.width))
    try:
        with torch.no_grad():
            for batch in batches_by_length([*map(len, rows)]):
                outputs.clear()
                embeddings[batch] = encoder.forward([rows[i] for i in batch]).cpu().numpy()
                states = outputs[0][0] if isinstance(outputs[0], tuple) else outputs[0]
                for number, i in enumerate(batch):
                    hidden[i] = states[number, : len(rows[i])].cpu().clone()
    finally:
        handle.remove()
    rest = outputs[0][1:] if isinstance(outputs[0], tuple) else None
    if rest is not None and any(item is not None for item in rest):
        return PrefixCache(encoder, rows, embeddings)
    return PrefixCache(encoder, rows, embeddings, depth, hidden, rest)


def _replays_exactly(cache: PrefixCache) -> bool:
    """Try the replay on a few rows before anything relies on it."""
    batch = next(batches_by_length([*map(len, cache.rows)]))[:8]
    try:
        with cache.active(), torch.inference_mode():
            replayed = cache.forward(batch).cpu().numpy()
    except (RuntimeError, TypeError, AttributeError, ValueError, IndexError):
        return False
    return bool(np.allclose(replayed, cache.embeddings[batch], atol=TOLERANCE))
