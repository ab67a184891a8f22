"""Which rows of a batch belong to which adapter, laid out for batched products.

Adapters with as many rows each are computed by one batched product, whatever their ranks. S-LoRA
and Punica gather so: Sheng et al., 2023, https://arxiv.org/abs/2311.03285.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import nn

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.protocols import TokenOwners


@dataclass(frozen=True, slots=True)
class Update:
    """What an adapter adds to a linear layer: ``x @ down.mT @ up``, the scale within ``up``.

    ``down`` is (rank, inputs), ``up`` (rank, outputs): so rows are long, which products like.
    """

    down: torch.Tensor
    up: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """An adapter's weights by the base's modules: updates, and modules that it replaces whole."""

    updates: Mapping[str, Update]
    whole: Mapping[str, nn.Module]


@dataclass(frozen=True, slots=True)
class _Block:
    """Adapters with as many rows each: which of the ordered rows are theirs, which of the stack."""

    count: int
    rows: slice
    slots: slice


class Layout:
    """The rows of a batch, ordered: adapters with as many rows each are one batched product.

    Rows that come in that order already are not moved. Stacked weights are kept once a layer is
    called again, as in decoding. Before that all layers' are stacked in one place, one after the
    other: to take memory anew for each costs several times what the copying does.
    """

    def __init__(self, owners: Sequence[Weights]) -> None:
        self.rows = len(owners)
        by_owner: dict[int, list[int]] = {}
        for row, owner in enumerate(owners):
            by_owner.setdefault(id(owner), []).append(row)
        self.groups = dict(sorted(by_owner.items(), key=lambda group: len(group[1])))
        weights = {id(owner): owner for owner in owners}
        self._owners = [weights[key] for key in self.groups]
        self._blocks = list(_blocks([len(rows) for rows in self.groups.values()]))
        order = [row for rows in self.groups.values() for row in rows]
        self._in_order = order == list(range(self.rows))
        self._take = torch.tensor(order)
        self._put = self._take.argsort()
        self._called: set[str] = set()
        self._stacks: dict[str, Update | None] = {}
        self._scratch = _Scratch()

    def add(self, name: str, given: torch.Tensor, output: torch.Tensor) -> torch.Tensor | None:
        """Return a layer's output with each row's own update; None where none has one.

        The output is nobody else's yet: where it can be, it is written over.
        """
        stack = self._stack(name)
        if stack is None:
            return None
        self._require_rows(name, given)
        inputs = self._moved(given, self._take).to(stack.down.dtype)
        outputs = self._moved(output, self._take).to(stack.up.dtype).contiguous()
        for block in self._blocks:
            x = inputs[block.rows].reshape(block.count, -1, inputs.shape[-1])
            y = outputs[block.rows].view(block.count, -1, outputs.shape[-1])
            y.baddbmm_(x @ stack.down[block.slots].mT, stack.up[block.slots])
        return self._moved(outputs, self._put).to(output.dtype)

    def replace(self, name: str, given: Sequence[Any], output: torch.Tensor) -> torch.Tensor | None:
        """Return what each row's own module gives; None where none has one."""
        owners = {id(w): w.whole[name] for w in self._owners if name in w.whole}
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

    def _moved(self, value: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
        return value if self._in_order else value.index_select(0, order.to(value.device))

    def _require_rows(self, name: str, given: torch.Tensor) -> None:
        if len(given) != self.rows:
            raise CapabilityError(
                f"{name} is given {len(given)} rows of a batch of {self.rows}: whose they are "
                "cannot be told",
                hint="such a model answers one adapter at a time",
            )

    def _stack(self, name: str) -> Update | None:
        if name in self._stacks:
            return self._stacks[name]
        updates = [owner.updates.get(name) for owner in self._owners]
        again = name in self._called
        stack = _stacked(updates, _Scratch() if again else self._scratch)
        if again or stack is None:
            self._stacks[name] = stack
        self._called.add(name)
        return stack


class _Scratch:
    """Memory for one stack, which the next overwrites."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, torch.dtype, torch.device], torch.Tensor] = {}

    def room(self, factor: str, like: torch.Tensor, *shape: int) -> torch.Tensor:
        """Return a tensor of that shape, whatever is in it, of the type and place of ``like``."""
        key, needed = (factor, like.dtype, like.device), math.prod(shape)
        if key not in self._held or len(self._held[key]) < needed:
            self._held[key] = like.new_empty(needed)
        return self._held[key][:needed].view(shape)


class Single:
    """All rows are one adapter's, however many there are and however a layer sees them."""

    def __init__(self, owner: Weights) -> None:
        self._owner = owner

    def add(self, name: str, given: torch.Tensor, output: torch.Tensor) -> torch.Tensor | None:
        """Return a layer's output with the update; None where there is none."""
        update = self._owner.updates.get(name)
        if update is None:
            return None
        added = given.to(update.down.dtype) @ update.down.mT @ update.up
        return (output + added).to(output.dtype)

    def replace(self, name: str, given: Sequence[Any], output: torch.Tensor) -> torch.Tensor | None:
        """Return what the adapter's own module gives; None where it has none."""
        own = self._owner.whole.get(name)
        return None if own is None else own(*given)


class ByToken(Single):
    """Each token has the update of its own adapter; modules replaced whole are one adapter's."""

    def __init__(
        self,
        whole: Mapping[str, nn.Module],
        updates: Sequence[Mapping[str, Update]],
        owners: TokenOwners,
    ) -> None:
        """Take the updates in the order of the numbers that ``owners`` tells."""
        super().__init__(Weights({}, whole))
        self._owners_of = owners
        names = dict.fromkeys(name for own in updates for name in own)
        self._joined = {
            name: _joined({n: own[name] for n, own in enumerate(updates) if name in own})
            for name in names
        }

    def tensors(self) -> Iterator[torch.Tensor]:
        """Yield all weights."""
        for update, _ in self._joined.values():
            yield from (update.down, update.up)
        for module in self._owner.whole.values():
            yield from module.parameters()

    def add(self, name: str, given: torch.Tensor, output: torch.Tensor) -> torch.Tensor | None:
        """Return a layer's output with each token's own update; None where none has one."""
        if name not in self._joined:
            return None
        update, ranks = self._joined[name]
        inner = given.to(update.down.dtype) @ update.down.mT
        others = self._owners_of(name, given).unsqueeze(-1) != ranks
        return (output + inner.masked_fill(others, 0) @ update.up).to(output.dtype)


def _joined(updates: Mapping[int, Update]) -> tuple[Update, torch.Tensor]:
    """Return updates side by side as one, and whose each of its ranks is."""
    down = torch.cat([update.down for update in updates.values()])
    up = torch.cat([update.up for update in updates.values()])
    ranks = [torch.full((len(update.up),), number) for number, update in updates.items()]
    return Update(down, up), torch.cat(ranks).to(up.device)


def _blocks(counts: Sequence[int]) -> Iterator[_Block]:
    """Yield the blocks of adapters with so many rows each, ascending."""
    row = slot = 0
    for count, same in groupby(counts):
        adapters = len(list(same))
        after = row + adapters * count, slot + adapters
        yield _Block(adapters, slice(row, after[0]), slice(slot, after[1]))
        row, slot = after


def _stacked(updates: Sequence[Update | None], scratch: _Scratch) -> Update | None:
    """Return updates one behind the other, smaller ranks and absent ones filled up with zeros."""
    present = [update for update in updates if update is not None]
    if not present:
        return None
    # a tensor's len() costs several times what its shape does, and there are thousands
    first, ranks = present[0], {update.down.shape[0] for update in present}
    rank, count = max(ranks), len(updates)
    down = scratch.room("down", first.down, count, rank, first.down.shape[1])
    up = scratch.room("up", first.up, count, rank, first.up.shape[1])
    if len(present) == count and len(ranks) == 1:
        torch.stack([update.down for update in present], out=down)
        torch.stack([update.up for update in present], out=up)
        return Update(down, up)
    down.zero_()
    up.zero_()
    for slot, update in enumerate(updates):
        if update is not None:
            own = update.down.shape[0]
            down[slot, :own], up[slot, :own] = update.down, update.up
    return Update(down, up)
