"""Runs a strategy on small tensors, or on small factors."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

import torch

from adapterhub_lite.errors import RecipeError
from adapterhub_lite.merging.engine import Applied, Settings, TensorJob, run_jobs
from adapterhub_lite.merging.memory import split_params
from adapterhub_lite.specs import MergeSpec
from adapterhub_lite.streaming.factors import Factors, no_change
from adapterhub_lite.streaming.naming import layers_of
from adapterhub_lite.streaming.tensors import Origin
from adapterhub_lite.testing.merge_checks.watching import Watch, WatchedSource, WatchedWriter
from adapterhub_lite.testing.outcomes import CheckFailedError, NotApplicableError
from adapterhub_lite.testing.sharing import made_once, needed
from adapterhub_lite.testing.subject import Subject

State = Mapping[str, torch.Tensor]

SHAPES: Final[Mapping[str, tuple[int, ...]]] = {
    "model.embed_tokens.weight": (24, 9),
    "model.layers.0.mlp.weight": (14, 22),
    "model.layers.1.mlp.weight": (14, 22),
    "model.norm.weight": (9,),
    "scale": (),
}
RANK: Final = 3
PARAMETERS: Final = "say in adapterhub_conformance with which params it is to be checked"
WEIGHTS: Final = (1.0, 0.5, 0.75)
"""Of three models that are to count differently; sums of grid numbers times these are exact."""


def grid(seed: int, shape: Sequence[int]) -> torch.Tensor:
    """Return multiples of 1/64 up to 1/2: their sums and differences are exact in 32 bits."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-32, 33, tuple(shape), generator=generator) / 64


def grid_state(seed: int, shapes: Mapping[str, tuple[int, ...]] = SHAPES) -> dict[str, Any]:
    """Return a state dict of such numbers."""
    return {
        name: grid(1000 * seed + number, shape)
        for number, (name, shape) in enumerate(shapes.items())
    }


def plus(first: State, second: State) -> dict[str, torch.Tensor]:
    """Return the sum of two state dicts."""
    return {name: value + second[name] for name, value in first.items()}


class Bench(Protocol):
    """A strategy on its bench: models of its kind, and what it makes of them.

    ``models`` says how many it is given unless a check needs another number, ``weighted`` whether
    each of them has a weight.
    """

    spec: MergeSpec
    models: int
    weighted: bool

    def draw(self, seed: int) -> Any:
        """Return a model; the same for the same seed."""

    def zero(self) -> Any:
        """Return a model of zeros, or one that changes nothing."""

    def scaled(self, model: Any, factor: float) -> Any:
        """Return a model times a factor."""

    def dense(self, model: Any) -> State:
        """Return a model's numbers."""

    def merge(
        self,
        models: Sequence[Any],
        base: State | None = None,
        *,
        weights: Sequence[float] = (),
        settings: Settings | None = None,
    ) -> State:
        """Merge, and return the numbers of the result."""


def bench_of(subject: Subject) -> "Bench":
    """Return the bench for what is under check.

    Raises NotApplicableError for a strategy that needs data, and for one that cannot merge at all,
    which is the fault of ``check_merges``.
    """
    bench = new_bench(subject)
    made_once(subject, "merged", lambda: needed(merge_drawn, "check_merges", bench))
    return bench


def new_bench(subject: Subject) -> "Bench":
    """Return the bench for what is under check, on which nothing was merged yet.

    Raises NotApplicableError for a strategy that needs data.
    """
    spec = spec_of(subject)
    if "needs-data" in spec.capabilities:
        raise NotApplicableError("it computes with rows of data")
    return FactorBench(subject) if "low-rank" in spec.capabilities else TensorBench(subject)


def spec_of(subject: Subject) -> MergeSpec:
    """Return the spec of the strategy under check."""
    spec = subject.offer.spec
    assert isinstance(spec, MergeSpec), "the suite gives these checks strategies"
    return spec


def merge_drawn(bench: "Bench") -> State:
    """Merge as many models as the strategy is usually given."""
    return bench.merge([bench.draw(seed) for seed in range(1, bench.models + 1)])


def tensor_bench(subject: Subject) -> "TensorBench":
    """Return the bench of a strategy that merges tensors; raises NotApplicableError for others."""
    bench = bench_of(subject)
    if not isinstance(bench, TensorBench):
        raise NotApplicableError("it merges factors, not tensors")
    return bench


def parameters(subject: Subject, each: Sequence[Mapping[str, Any]]) -> tuple[Any, tuple[Any, ...]]:
    """Return the strategy's parameters and each model's, as the case gives them.

    Raises CheckFailedError when the spec refuses them, NotApplicableError when the strategy's own
    ``check`` does.
    """
    try:
        params, models = split_params(spec_of(subject), subject.params, each)
    except RecipeError as error:
        raise CheckFailedError(
            f"it cannot be run with the parameters of the case: {error.message}", hint=PARAMETERS
        ) from error
    for reason in subject.implementation.check(params, models):
        raise NotApplicableError(f"its own check refuses this: {reason}")
    return params, models


class TensorBench:
    """Runs a strategy that merges tensors, through the engine that runs every merge."""

    def __init__(self, subject: Subject) -> None:
        self.spec = spec = spec_of(subject)
        self.strategy = subject.implementation
        self.models = within(spec, 3)
        self.weighted = "weight" in spec.model_params.model_fields
        self.watch = Watch()
        self._subject = subject

    def draw(self, seed: int) -> State:
        """Return a model: the base of all checks, and a task vector of its own."""
        return plus(self.base(), grid_state(seed))

    def base(self) -> State:
        """Return the base that drawn models were trained from."""
        return grid_state(77)

    def zero(self) -> State:
        """Return a model of zeros."""
        return {name: torch.zeros(shape) for name, shape in SHAPES.items()}

    def scaled(self, model: State, factor: float) -> State:
        """Return a model times a factor."""
        return {name: value * factor for name, value in model.items()}

    def dense(self, model: State) -> State:
        """Return the model: it is numbers already."""
        return model

    def merge(
        self,
        models: Sequence[State],
        base: State | None = None,
        *,
        weights: Sequence[float] = (),
        settings: Settings | None = None,
    ) -> State:
        """Merge; without ``base`` on the bench's own where one is needed."""
        if base is None and self.needs_base(len(models)):
            base = self.base()
        own = [{"weight": weight} for weight in weights] if self.weighted else []
        params, each = parameters(self._subject, own or [{}] * len(models))
        self.watch = Watch()
        labelled = [(f"model {number}", state) for number, state in enumerate(models, 1)]
        sources = [WatchedSource(state, label, self.watch) for label, state in labelled]
        under = None if base is None else WatchedSource(base, "base", self.watch)
        layers = layers_of(sources[0].tensors)
        applied = Applied(self.spec, self.strategy)
        jobs = [
            TensorJob(
                name=name,
                output=replace(shape, dtype="F32"),
                applied=applied,
                params=params,
                model_params=each,
                base=None if under is None else Origin(under, name),
                origins=tuple(Origin(source, name) for source in sources),
                layer=layers.get(name),
            )
            for name, shape in sorted(sources[0].tensors.items())
        ]
        writer = WatchedWriter({job.name: job.output for job in jobs}, self.watch)
        run_jobs(jobs, writer, settings or Settings())
        return writer.state

    def needs_base(self, models: int) -> bool:
        """Say whether a merge of so many needs a base; of one model, what can have one does."""
        return self.spec.base == "needed" or (self.spec.base == "optional" and models == 1)


class FactorBench:
    """Runs a strategy that merges LoRA updates as factors."""

    def __init__(self, subject: Subject) -> None:
        self.spec = spec = spec_of(subject)
        self.strategy = subject.implementation
        self.models = within(spec, 3)
        self.weighted = "weight" in spec.model_params.model_fields
        self._subject = subject

    def draw(self, seed: int) -> Factors:
        """Return an update of three terms, with a scaling."""
        return Factors(grid(2 * seed, (RANK, 22)), grid(2 * seed + 1, (14, RANK)), 2.0)

    def zero(self) -> Factors:
        """Return no update."""
        return no_change((14, 22))

    def scaled(self, model: Factors, factor: float) -> Factors:
        """Return an update times a factor."""
        return replace(model, scaling=model.scaling * factor)

    def dense(self, model: Factors) -> State:
        """Return what the update adds to a weight."""
        return {"update": model.dense()}

    def merge(
        self,
        models: Sequence[Factors],
        base: State | None = None,
        *,
        weights: Sequence[float] = (),
        settings: Settings | None = None,
    ) -> State:
        """Merge with the rank that keeps most; the base and the settings are of no use here."""
        own = [{"weight": weight} for weight in weights] if self.weighted else []
        params, each = parameters(self._subject, own or [{}] * len(models))
        merged = self.strategy.merge_factors(models, params, each, None)
        return {"update": merged.factors.dense().float()}


def within(spec: MergeSpec, count: int) -> int:
    """Return the number of models nearest to ``count`` that a strategy takes."""
    least, most = spec.models
    return max(least, min(count, most or count))


def require_close(found: State, expected: State, what: str, tolerance: float = 1e-4) -> None:
    """Raise CheckFailedError, naming the tensor, where two states differ by more than rounding."""
    for name, right in expected.items():
        size = float(right.abs().max()) if right.numel() else 0.0
        off = float((found[name] - right).abs().max()) if right.numel() else 0.0
        if not off <= tolerance * max(size, 0.1):
            raise CheckFailedError(f"{what}: {name} is off by {off:.2g}")


def require_equal(found: State, expected: State, what: str) -> None:
    """Raise CheckFailedError, naming the tensor, where two states differ in a bit."""
    for name, right in expected.items():
        if not torch.equal(found[name].nan_to_num(), right.nan_to_num()):
            raise CheckFailedError(f"{what}: {name} differs")


def differs(found: State, other: State) -> bool:
    """Say whether two states differ anywhere."""
    return any(not torch.equal(found[name], value) for name, value in other.items())
