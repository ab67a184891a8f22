"""Which rows of a batch belong to which adapter, laid out for batched products.

Rows of one adapter lie in *slots* of a fixed number of *cells*: one batched product then takes all
slots at once, whatever the adapters' ranks. S-LoRA and Punica gather so: Sheng et al., 2023,
https://arxiv.org/abs/2311.03285.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn

from adapterhub_lite.errors import CapabilityError

WASTE: Final = 1.5
"""How many cells a row may cost: filling up is dear where much is read at once."""


@dataclass(frozen=True, slots=True)
class Update:
    """What an adapter adds to a linear layer: ``x @ down @ up``, the scale within ``up``.

    ``down`` is (inputs, rank), ``up`` (rank, outputs).
    """

    down: torch.Tensor
    up: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """An adapter's weights by the base's modules: updates, and modules that it replaces whole."""

    updates: Mapping[str, Update]
    whole: Mapping[str, nn.Module]


class Layout:
    """The rows of a batch; stacked weights are kept for as long as the batch is decoded."""

    def __init__(self, owners: Sequence[Weights]) -> None:
        self.rows = len(owners)
        self.groups: dict[int, list[int]] = {}
        for row, owner in enumerate(owners):
            self.groups.setdefault(id(owner), []).append(row)
        self._weights = {id(owner): owner for owner in owners}
        self._cells = _cells([len(rows) for rows in self.groups.values()], self.rows)
        self._slots: list[Weights] = []
        taken: list[int] = []
        for key, rows in self.groups.items():
            for at in range(0, len(rows), self._cells):
                some = rows[at : at + self._cells]
                self._slots.append(self._weights[key])
                taken += some + some[:1] * (self._cells - len(some))
        place = {row: cell for cell, row in reversed(list(enumerate(taken)))}
        self._plain = taken == list(range(self.rows))
        self._take = torch.tensor(taken)
        self._put = torch.tensor([place[row] for row in range(self.rows)])
        self._stacks: dict[str, Update | None] = {}

    def add(self, name: str, given: torch.Tensor, output: torch.Tensor) -> torch.Tensor | None:
        """Return a layer's output with each row's own update; None where none has one."""
        stack = self._stack(name)
        if stack is None:
            return None
        self._require_rows(name, given)
        cells = given if self._plain else given[self._take.to(given.device)]
        count, width = len(self._slots), stack.up.shape[-1]
        inner = cells.reshape(count, -1, given.shape[-1]).to(stack.down.dtype) @ stack.down
        if self._plain and output.dtype == stack.up.dtype and output.is_contiguous():
            # The layer's output is nobody else's yet: written over, it needs no second tensor.
            output.view(count, -1, width).baddbmm_(inner, stack.up)
            return output
        added = (inner @ stack.up).view(len(cells), *output.shape[1:])
        own = added if self._plain else added[self._put.to(added.device)]
        return (output + own).to(output.dtype)

    def replace(self, name: str, given: Sequence[Any], output: torch.Tensor) -> torch.Tensor | None:
        """Return what each row's own module gives; None where none has one."""
        owners = {key: w.whole[name] for key, w in self._weights.items() if name in w.whole}
        if not owners:
            return None
        self._require_rows(name, given[0])
        device = output.device
        places = {key: torch.tensor(rows, device=device) for key, rows in self.groups.items()}
        own = {
            key: owners[key](*(value[rows] for value in given)) if key in owners else output[rows]
            for key, rows in places.items()
        }
        widest = max(value.shape[-1] for value in own.values())
        first = next(iter(own.values()))
        merged = first.new_zeros((self.rows, *first.shape[1:-1], widest))
        for key, value in own.items():
            merged[places[key], ..., : value.shape[-1]] = value
        return merged

    def _require_rows(self, name: str, given: torch.Tensor) -> None:
        if len(given) != self.rows:
            raise CapabilityError(
                f"{name} is given {len(given)} rows of a batch of {self.rows}: whose they are "
                "cannot be told",
                hint="such a model answers one adapter at a time",
            )

    def _stack(self, name: str) -> Update | None:
        if name not in self._stacks:
            self._stacks[name] = _stacked([slot.updates.get(name) for slot in self._slots])
        return self._stacks[name]


class Single:
    """All rows are one adapter's, however many there are and however a layer sees them."""

    def __init__(self, owner: Weights) -> None:
        self._owner = owner

    def add(self, name: str, given: torch.Tensor, output: torch.Tensor) -> torch.Tensor | None:
        """Return a layer's output with the update; None where there is none."""
        update = self._owner.updates.get(name)
        if update is None:
            return None
        added = given.to(update.down.dtype) @ update.down @ update.up
        return (output + added).to(output.dtype)

    def replace(self, name: str, given: Sequence[Any], output: torch.Tensor) -> torch.Tensor | None:
        """Return what the adapter's own module gives; None where it has none."""
        own = self._owner.whole.get(name)
        return None if own is None else own(*given)


def _cells(counts: Sequence[int], rows: int) -> int:
    """Return how many cells a slot has: as many as can be without filling up too much."""
    fitting = [
        size
        for size in Counter(counts)
        if sum(-(-count // size) * size for count in counts) <= WASTE * rows
    ]
    return max(fitting, default=1)


def _stacked(updates: Sequence[Update | None]) -> Update | None:
    """Return updates one behind the other, smaller ranks and absent ones filled up with zeros."""
    present = [update for update in updates if update is not None]
    if not present:
        return None
    rank = max(update.down.shape[1] for update in present)
    first = present[0]
    if len(updates) == len(present) and all(u.down.shape[1] == rank for u in present):
        return Update(
            torch.stack([update.down for update in present]),
            torch.stack([update.up for update in present]),
        )
    down = first.down.new_zeros(len(updates), first.down.shape[0], rank)
    up = first.up.new_zeros(len(updates), rank, first.up.shape[1])
    for slot, update in enumerate(updates):
        if update is not None:
            own = update.down.shape[1]
            down[slot, :, :own], up[slot, :own] = update.down, update.up
    return Update(down, up)
