"""Models in the output's vocabulary: rows of embeddings and output layers, found by a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from adapterhub_lite.streaming.headers import TensorShape
from adapterhub_lite.streaming.sources import (
    TORCH_TYPES,
    FolderSource,
    Source,
    StateSource,
    UpdateSource,
)
from adapterhub_lite.streaming.tensors import Origin
from adapterhub_lite.streaming.token_tensors import vocabulary_rows, vocabulary_tensors
from adapterhub_lite.streaming.views import underlying

Rows = NDArray[np.int64]

ZEROS: Final = -1
"""A row that no model has, or that was asked to be zero."""
MEAN: Final = -2
"""A row that is the mean of those of the models that have it."""
FEW_RUNS: Final = 16
"""Up to so many runs of rows are read one by one; more are gathered at once."""
CAST: Final = 2**20
"""Numbers that are turned into a tensor's own dtype at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowMap:
    """Where each model finds the rows of the output's vocabulary.

    ``tables`` has for each model, in the order of the sources, an array (rows,) of its own rows, -1
    where it lacks one. What a model lacks is taken from the model ``donors`` (rows,), of which it
    is the row ``donor_rows`` (rows,); or is ZEROS, or the MEAN of the models that have it.
    """

    tables: Sequence[Rows]
    donors: Rows
    donor_rows: Rows

    @property
    def rows(self) -> int:
        """How many rows the output has."""
        return len(self.donors)


@dataclass(frozen=True, slots=True)
class _Places:
    """Where one model finds each row of the output: the model, and its row; in runs.

    ``starts`` are the rows of the output at which a run of neighbouring rows begins.
    """

    models: Rows
    rows: Rows
    starts: Rows

    def between(self, first: int, last: int) -> list[int]:
        """Return the rows of the output at which runs begin, and ``last``."""
        begin, end = np.searchsorted(self.starts, (first + 1, last))
        return [first, *self.starts[begin:end].tolist(), last]


def resized_sources(sources: Sequence[Source], row_map: RowMap) -> list[Source]:
    """Return the models in the output's vocabulary, in their order.

    A model that has every row at its place already is returned as it is. An adapter on one of the
    models stays an adapter: it tells what it adds to that model in the same vocabulary.
    """
    share = _Shared(sources, row_map, [vocabulary_tensors(source) for source in sources])
    resized = [_resized(share, number) for number in range(len(sources))]
    by_place = {_place(source): new for source, new in zip(sources, resized, strict=True)}
    pairs = zip(sources, resized, strict=True)
    return [_as_adapter(source, mine, by_place) for source, mine in pairs]


@dataclass(frozen=True, slots=True)
class _Shared:
    """All models as they are, and the map of their rows."""

    sources: Sequence[Source]
    row_map: RowMap
    names: Sequence[frozenset[str]]


def _resized(share: _Shared, number: int) -> Source:
    source, table = share.sources[number], share.row_map.tables[number]
    own = vocabulary_rows(source)
    if own is None or (own == len(table) and np.array_equal(table, np.arange(own))):
        return source
    return ResizedSource(share, number)


def _place(source: Source) -> Any:
    """Return what is the same for one folder opened twice, as an adapter's base is."""
    return getattr(source, "folder", None) or id(source)


def _as_adapter(source: Source, mine: Source, by_place: Mapping[Any, Source]) -> Source:
    base: Source | None = getattr(source, "base", None)
    under = by_place.get(_place(base)) if base is not None else None
    if under is None or (mine is source and under is base):
        return mine
    adapter: Any = source
    return ResizedUpdateSource(adapter, mine, under)


class ResizedSource:
    """A model whose embeddings and output layer have the output's rows; ``plain`` is as it was.

    Slices are read through the table; nothing is held.
    """

    def __init__(self, share: _Shared, number: int) -> None:
        self._share = share
        self._number = number
        self.plain = share.sources[number]
        self.label = self.plain.label
        self._names = share.names[number]
        self._places = _places(share.row_map, number)
        self.tensors: Mapping[str, TensorShape] = {
            name: self._shape(tensor) if name in self._names else tensor
            for name, tensor in self.plain.tensors.items()
        }

    def read(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Return the numbers ``start:stop`` of a flattened tensor, as a new float32 tensor."""
        if name not in self._names:
            return self.plain.read(name, start, stop)
        if stop <= start:
            return torch.empty(0)
        width = self._width(name)
        first, last = start // width, -(-stop // width)
        bounds = self._places.between(first, last)
        model = int(self._places.models[first])
        if len(bounds) == 2 and model >= 0 and name in self._share.names[model]:
            shift = (int(self._places.rows[first]) - first) * width
            return self._share.sources[model].read(name, start + shift, stop + shift)
        rows = self._read_rows(name, bounds, width)
        return rows.view(-1)[start - first * width : stop - first * width]

    def raw(self, name: str) -> torch.Tensor:
        """Return a whole tensor, in its shape, in the dtype that it is stored in."""
        if name not in self._names:
            return self.plain.raw(name)
        tensor = self.tensors[name]
        whole = torch.empty(tensor.size, dtype=TORCH_TYPES[tensor.dtype])
        for start in range(0, tensor.size, CAST):
            stop = min(start + CAST, tensor.size)
            whole[start:stop] = self.read(name, start, stop).to(whole.dtype)
        return whole.view(tensor.shape)

    def _shape(self, tensor: TensorShape) -> TensorShape:
        rows = self._share.row_map.rows
        one_row = len(tensor.shape) == 2 and tensor.shape[0] == 1
        return TensorShape(tensor.dtype, (1, rows) if one_row else (rows, *tensor.shape[1:]))

    def _width(self, name: str) -> int:
        return max(1, self.tensors[name].size // self._share.row_map.rows)

    def _read_rows(self, name: str, bounds: Sequence[int], width: int) -> torch.Tensor:
        """Return the rows in which runs lie between ``bounds``: run by run, or model by model."""
        first, last = bounds[0], bounds[-1]
        if len(bounds) <= FEW_RUNS:
            parts = [self._of_model(name, np.arange(*run), width) for run in pairwise(bounds)]
            return torch.cat(parts)
        models = self._places.models[first:last]
        present = np.unique(models)
        if len(present) == 1:
            return self._of_model(name, np.arange(first, last), width)
        out = torch.empty(last - first, width)
        for model in present:
            places = np.flatnonzero(models == model)
            out[torch.from_numpy(places)] = self._of_model(name, places + first, width)
        return out

    def _of_model(self, name: str, places: Rows, width: int) -> torch.Tensor:
        """Return the rows for places of the output that are all filled from the same model."""
        model = int(self._places.models[places[0]])
        if model == ZEROS:
            return torch.zeros(len(places), width)
        if model == MEAN:
            return self._mean(name, places, width)
        return self._take(name, model, self._places.rows[places], width)

    def _mean(self, name: str, places: Rows, width: int) -> torch.Tensor:
        """Return the mean of the rows of all models that have them, at places of the output."""
        total, counts = torch.zeros(len(places), width), torch.zeros(len(places), 1)
        for model, table in enumerate(self._share.row_map.tables):
            rows = table[places]
            having = np.flatnonzero(rows >= 0)
            if len(having) and name in self._share.names[model]:
                at = torch.from_numpy(having)
                total[at] += self._take(name, model, rows[having], width)
                counts[at] += 1
        return total / counts.clamp_(min=1)

    def _take(self, name: str, model: int, rows: Rows, width: int) -> torch.Tensor:
        """Return rows of a model; of a tensor that it does not have, zeros."""
        if name not in self._share.names[model]:
            return torch.zeros(len(rows), width)
        return take_rows(self._share.sources[model], name, rows, width)


class ResizedUpdateSource:
    """An adapter in the output's vocabulary, on a base in the same."""

    def __init__(self, adapter: UpdateSource, resized: Source, base: Source) -> None:
        self._adapter, self._resized = adapter, resized
        self.base = base
        self.label = resized.label
        self.tensors = resized.tensors
        self._names = vocabulary_tensors(adapter) | vocabulary_tensors(adapter.base)

    def read(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Return the numbers ``start:stop`` of a flattened tensor, as a new float32 tensor."""
        return self._resized.read(name, start, stop)

    def raw(self, name: str) -> torch.Tensor:
        """Return a whole tensor, in its shape, as it is stored."""
        return self._resized.raw(name)

    def rests_on(self, name: str, base: Source, base_name: str) -> bool:
        """Say whether a tensor is ``base_name`` of ``base`` with an update.

        Embeddings and output layers are not: their rows may come from other models.
        """
        if name in self._names:
            return False
        place = underlying(Origin(base, base_name))
        plain = place.source.plain if isinstance(place.source, ResizedSource) else place.source
        return self._adapter.rests_on(name, plain, place.name)

    def update(self, name: str, start: int, stop: int) -> torch.Tensor | None:
        """Return what is added to ``start:stop``, or None where the tensor is the base's own."""
        return self._adapter.update(name, start, stop)


def take_rows(source: Source, name: str, rows: Rows, width: int) -> torch.Tensor:
    """Return rows of a matrix as float32, (rows, width): only what they take is read."""
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    if len(breaks) < FEW_RUNS:
        parts = [
            source.read(name, int(run[0]) * width, (int(run[-1]) + 1) * width)
            for run in np.split(rows, breaks)
        ]
        return torch.cat(parts).view(-1, width)
    stored = _stored(source, name)
    if stored is not None:
        found = stored.reshape(-1, width).index_select(0, torch.from_numpy(rows))
        return found.to(torch.float32)
    return torch.cat([source.read(name, int(r) * width, (int(r) + 1) * width) for r in rows]).view(
        -1, width
    )


def _stored(source: Source, name: str) -> torch.Tensor | None:
    """Return a tensor that lies in a file or in memory as it is; None where it is computed."""
    base: Any = source
    while hasattr(base, "update") and base.update(name, 0, 1) is None:
        base = base.base
    return base.raw(name) if isinstance(base, FolderSource | StateSource) else None


def _places(row_map: RowMap, number: int) -> _Places:
    table = row_map.tables[number]
    has = table >= 0
    models = np.where(has, number, row_map.donors)
    rows = np.where(has, table, row_map.donor_rows)
    same = models[1:] == models[:-1]
    # What is no model's own row needs no reading in order: it is one run however long.
    goes_on = same & ((rows[1:] == rows[:-1] + 1) | (models[1:] < 0))
    return _Places(models, rows, np.flatnonzero(~goes_on) + 1)
