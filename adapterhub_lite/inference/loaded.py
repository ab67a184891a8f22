"""Versions of one base, loaded so that they hold it once."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.inference.artifact import ArtifactInfo
from adapterhub_lite.inference.held import Held
from adapterhub_lite.inference.interface import interface_of, predictor_of
from adapterhub_lite.inference.loading import load_base
from adapterhub_lite.inference.predictor import Predictor
from adapterhub_lite.protocols import AdapterHost, HeldAdapter, LoadedBase, MixedScorer
from adapterhub_lite.specs import ResolvedBase
from adapterhub_lite.transformer import load_tokenizer

if TYPE_CHECKING:
    import torch
    from torch import nn

ALIKE = 1e-4
"""How far a row may be from the same row alone, relative to the largest output, in 32 bits."""
ALIKE_HALF = 0.05


class Pool:
    """Adapters of one method on one base, whose rows share a pass.

    Whether they can is tried with the first two: an architecture may mix rows up in its layers.
    """

    def __init__(self, host: AdapterHost, base: LoadedBase) -> None:
        self.host, self.base = host, base
        self._mixes: bool | None = None

    def mixes(self, one: HeldAdapter, other: HeldAdapter) -> bool:
        """Say whether two adapters' rows are answered together as they are apart."""
        if self._mixes is None:
            self._mixes = _mixed_as_alone(self.host, one, other)
        return self._mixes


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """An adapter among those whose rows share a pass, as its scorer also can."""

    pool: Pool
    adapter: HeldAdapter

    def mixes(self, other: "Pooled") -> bool:
        """Say whether rows of both may share a pass."""
        if self.pool is not other.pool:
            return False
        return self.adapter is other.adapter or self.pool.mixes(self.adapter, other.adapter)


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A version that answers, and on which base; a whole model is on none.

    ``nbytes`` says how much it holds beyond its base: a composition loads members when asked.
    """

    predictor: Predictor
    base: "SharedBase | None"
    nbytes: Callable[[], int]
    pooled: Pooled | None = None


class SharedBase:
    """One base in one precision, and what answers on it."""

    def __init__(self, found: ResolvedBase, catalogue: Catalogue, device: str) -> None:
        self.found = found
        self._catalogue, self._device = catalogue, device
        self._held = Held()
        self._pools: dict[tuple[str, str], Pool] = {}

    def load(self, version: str, folder: Path, info: ArtifactInfo) -> Loaded:
        """Load a folder of one adapter; raises IntegrityError for files that do not fit."""
        if "shared-pass" in self._catalogue.method(info.method).capabilities:
            pool = self._pool(folder, info)
            try:
                adapter = pool.host.add(info.head, folder)
            except CapabilityError:
                return self._alone(version, folder, info)
            model: Any = adapter.model
            base = replace(pool.base, model=model, head=info.head, tokenizer=load_tokenizer(folder))
            predictor = self._predictor(version, folder, info, base)
            size = adapter.nbytes
            shares = isinstance(predictor.scorer, MixedScorer)
            return Loaded(predictor, self, lambda: size, Pooled(pool, adapter) if shares else None)
        return self._alone(version, folder, info)

    def _pool(self, folder: Path, info: ArtifactInfo) -> Pool:
        key = info.method, info.head.kind
        if key not in self._pools:
            base = self.fresh(folder, info)
            self.settle()
            method = self._catalogue.implementation(self._catalogue.method(info.method))
            self._pools[key] = Pool(method.host(base), base)
        return self._pools[key]

    def _alone(self, version: str, folder: Path, info: ArtifactInfo) -> Loaded:
        method = self._catalogue.implementation(self._catalogue.method(info.method))
        base: LoadedBase = method.load(self.fresh(folder, info), folder)
        self.settle()
        predictor = self._predictor(version, folder, info, base)
        size = self.own_bytes([base.model])
        return Loaded(predictor, self, lambda: size)

    def fresh(self, folder: Path, info: ArtifactInfo) -> LoadedBase:
        """Load the base anew, with an artifact's head and tokenizer, for somebody to write into."""
        base = load_base(folder, info, self.found, self._catalogue, self._device)
        self._held.watch(base.model)
        return base

    def settle(self) -> None:
        """Hold once what is the same in all that was loaded: nobody writes into it any more."""
        self._held.settle()

    def own_bytes(self, models: "Iterable[nn.Module]") -> int:
        """Return how many bytes models hold beyond the base."""
        return self._held.own_bytes(models)

    def _predictor(
        self, version: str, folder: Path, info: ArtifactInfo, base: LoadedBase
    ) -> Predictor:
        spec = self._catalogue.objective(info.objective)
        scorer = self._catalogue.implementation(spec).load(base, folder)
        return predictor_of(scorer, version, interface_of(info, self._catalogue))


def loading_of(info: ArtifactInfo) -> tuple[str, str]:
    """Return the loader of an artifact's base, with its parameters as one text."""
    return info.loader, json.dumps(dict(info.loader_params), sort_keys=True)


@dataclass(frozen=True, slots=True)
class Bases:
    """One base by each loader that a composition's members ask for."""

    found: ResolvedBase
    catalogue: Catalogue
    device: str = "cpu"
    _made: dict[tuple[str, str], SharedBase] = field(default_factory=dict)

    def add(self, info: ArtifactInfo, base: SharedBase) -> None:
        """Take a base that others are on, too, for the loader of ``info``."""
        self._made[loading_of(info)] = base

    def of(self, info: ArtifactInfo) -> SharedBase:
        """Return the base as the loader of ``info`` loads it."""
        key = loading_of(info)
        if key not in self._made:
            self._made[key] = SharedBase(self.found, self.catalogue, self.device)
        return self._made[key]


def _mixed_as_alone(host: AdapterHost, one: HeldAdapter, other: HeldAdapter) -> bool:
    from adapterhub_lite.probe import answers, difference

    try:
        together = answers(host.rows([one, other]))
    except CapabilityError:
        return False
    alone = answers(one.model)[:1], answers(other.model)[1:]
    exact = all(_is_exact(value) for value in one.model.parameters())
    most = ALIKE if exact else ALIKE_HALF
    # a narrower head's outputs are filled up
    pairs = zip((together[:1], together[1:]), alone, strict=True)
    return all(difference(apart, row[..., : apart.shape[-1]]) <= most for row, apart in pairs)


def _is_exact(value: "torch.Tensor") -> bool:
    return value.is_floating_point() and value.itemsize >= 4
