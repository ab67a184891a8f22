"""What to know before merging: how far models moved from their base, and whether they collide."""

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import torch

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.merging.diagnosis.comparable import Difference, comparable_tensors
from adapterhub_lite.merging.diagnosis.effective_rank import (
    EffectiveRank,
    effective_ranks,
    is_matrix,
    sampled_matrices,
)
from adapterhub_lite.merging.diagnosis.interference import Sums, Tally, tally_tensor
from adapterhub_lite.merging.engine import Settings, one_torch_thread
from adapterhub_lite.streaming.naming import LAYER, Role, role_of
from adapterhub_lite.streaming.sources import Source
from adapterhub_lite.streaming.tensors import MergeTensor, Origin

Progress = Callable[[int, int], None]
Line = tuple[float | None, ...]
Square = tuple[Line, ...]

ORDER: Final[tuple[Role, ...]] = ("embeddings", "layer", "norm", "head", "other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What was found in a layer, in another part, or in all of a model.

    Lines have a place a model, squares one a pair, symmetric; None where there is nothing to
    divide by. ``norms`` are the task vectors' L2 norms, ``relative_norms`` over the base's.
    ``unchanged`` is the share of entries that are the base's exactly. ``conflicts``: of the entries
    that both changed, the share changed in opposite directions. ``top_conflicts``: of the entries
    that are among the largest fifth of a tensor's changes in either, the share that both changed in
    opposite directions. ``overlaps``: the share that two such fifths have in common, of the
    smaller. ``effective_ranks``: the mean over the matrices that were judged, and ``rank_shares``
    over the largest they could have.
    """

    name: str
    tensors: int
    numbers: int
    base_norm: float
    norms: Line
    relative_norms: Line
    unchanged: Line
    cosines: Square
    conflicts: Square
    top_conflicts: Square
    overlaps: Square
    effective_ranks: Line
    rank_shares: Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Models compared by their task vectors.

    ``parts`` are the embeddings, the layers in their order, norms and heads outside of them.
    ``differences`` are tensors that were left out. Effective ranks are of ``judged`` of
    ``matrices`` matrices.
    """

    base: str
    models: tuple[str, ...]
    whole: Part
    parts: tuple[Part, ...]
    differences: tuple[Difference, ...]
    matrices: int
    judged: int


@dataclass(frozen=True, slots=True)
class _Place:
    """A layer of a stack, or what is in none; ``order`` is the role's."""

    order: int
    stack: str
    layer: int | None = None

    @property
    def name(self) -> str:
        return self.stack if self.layer is None else f"{self.stack} {self.layer}"

    def key(self) -> tuple[int, str, int]:
        return self.order, self.stack, self.layer or 0


@dataclass(frozen=True, slots=True)
class _Found:
    """What was counted in one tensor; ``ranks`` is None for one that was not judged."""

    tally: Tally
    ranks: Sequence[EffectiveRank | None] | None


def diagnose(
    models: Sequence[Source],
    base: Source,
    *,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Diagnosis:
    """Compare models that were trained from one base, streaming: none is loaded.

    ``progress`` is told how many tensors are done, and of how many. Raises CapabilityError for
    fewer than two models, MergeError for models of another architecture and for a NaN.
    """
    if len(models) < 2:
        raise CapabilityError(
            f"a comparison takes two models at least, not {len(models)}",
            hint="name every model that you think of merging",
        )
    names, differences = comparable_tensors(models, base)
    matrices = {
        name: base.tensors[name].shape for name in names if is_matrix(base.tensors[name].shape)
    }
    judged = sampled_matrices(matrices, len(models))
    found = _count(names, models, base, judged, settings or Settings(), progress)
    return Diagnosis(
        base=base.label,
        models=tuple(model.label for model in models),
        whole=_part("all", list(found.values())),
        parts=tuple(
            _part(place.name, [found[name] for name in own])
            for place, own in _places(names).items()
        ),
        differences=differences,
        matrices=len(matrices),
        judged=len(judged),
    )


def _count(
    names: Sequence[str],
    models: Sequence[Source],
    base: Source,
    judged: frozenset[str],
    settings: Settings,
    progress: Progress | None,
) -> dict[str, _Found]:
    """Count every tensor, several at a time; the first error ends it."""

    def count(name: str) -> _Found:
        tensor = _tensor(name, models, base, settings)
        with torch.inference_mode():
            return _Found(tally_tensor(tensor), effective_ranks(tensor) if name in judged else None)

    start = partial(torch.set_num_threads, 1)  # OpenMP's setting belongs to a thread
    with one_torch_thread(), ThreadPoolExecutor(settings.threads, initializer=start) as pool:
        running = {pool.submit(count, name): name for name in names}
        try:
            for number, future in enumerate(as_completed(running), 1):
                future.result()
                if progress is not None:
                    progress(number, len(names))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {name: future.result() for future, name in running.items()}


def _tensor(name: str, models: Sequence[Source], base: Source, settings: Settings) -> MergeTensor:
    return MergeTensor(
        name=name,
        shape=base.tensors[name].shape,
        params=None,
        model_params=(),
        base_origin=Origin(base, name),
        origins=[Origin(model, name) for model in models],
        write=_write_nothing,
        chunk_size=settings.chunk_size,
        device=torch.device(settings.device),
    )


def _write_nothing(start: int, values: torch.Tensor) -> None:
    raise AssertionError("a comparison writes nothing")


def _places(names: Sequence[str]) -> dict[_Place, list[str]]:
    """Group tensors by layer, and what is in none by its role; the groups are in order."""
    matches = {name: match for name in names if (match := LAYER.match(name))}
    several = len({match["stack"] for match in matches.values()}) > 1
    groups: dict[_Place, list[str]] = {}
    for name in names:
        match = matches.get(name)
        role = role_of(name)
        place = _Place(ORDER.index(role), role)
        if match:
            number = int(match["number"])
            stack = match["stack"] if several else "layer"
            place = _Place(ORDER.index(role), stack, number)
        groups.setdefault(place, []).append(name)
    return {place: groups[place] for place in sorted(groups, key=_Place.key)}


def _part(name: str, found: Sequence[_Found]) -> Part:
    tally = Tally.empty(len(found[0].tally.top))
    for one in found:
        tally.add(one.tally)
    norms = np.sqrt(tally.products.diagonal())
    base_norm = math.sqrt(tally.base)
    models = range(len(norms))
    ranks = [[one.ranks[i] for one in found if one.ranks] for i in models]
    return Part(
        name=name,
        tensors=len(found),
        numbers=int(tally.size),
        base_norm=base_norm,
        norms=tuple(norms.tolist()),
        relative_norms=_shares(norms, np.full(len(norms), base_norm)),
        unchanged=_shares(tally.size - tally.changed, np.full(len(norms), tally.size)),
        cosines=_squares(np.clip(_cosines(tally.products, norms), -1.0, 1.0)),
        conflicts=_squares(_over(tally.opposed, tally.both)),
        top_conflicts=_squares(
            _over(tally.top_opposed, np.add.outer(tally.top, tally.top) - tally.top_both)
        ),
        overlaps=_squares(_over(tally.top_both, np.minimum.outer(tally.top, tally.top))),
        effective_ranks=tuple(_mean(rank.value for rank in own if rank) for own in ranks),
        rank_shares=tuple(_mean(rank.share for rank in own if rank) for own in ranks),
    )


def _cosines(products: Sums, norms: Sums) -> Sums:
    return _over(products, np.multiply.outer(norms, norms))


def _over(upper: Sums, lower: Sums) -> Sums:
    """Divide, to NaN where there is nothing to divide by."""
    quotient: Sums = np.divide(upper, lower, out=np.full_like(upper, np.nan), where=lower != 0)
    return quotient


def _shares(upper: Sums, lower: Sums) -> Line:
    return _line(_over(upper, lower))


def _line(values: Sums) -> Line:
    return tuple(None if math.isnan(value) else value for value in values.tolist())


def _squares(values: Sums) -> Square:
    return tuple(_line(row) for row in values)


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return sum(known) / len(known) if known else None
