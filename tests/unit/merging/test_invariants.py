"""What every strategy of the catalogue holds to, by what it declares of itself.

A new strategy is tried without being listed here. Where one is not to hold to something, the reason
stands beside its name, and a reason that is no longer needed is an error.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterhub_lite.merging.engine import Settings
from adapterhub_lite.merging.memory import State, merge_states
from adapterhub_lite.specs import MergeSpec
from tests.unit.merging.single_tensor import CATALOGUE, grid

SHAPES = {
    "model.layers.0.mlp.weight": (6, 5),
    "model.layers.1.mlp.weight": (6, 5),
    "model.norm.weight": (7,),
}
OUTSIDE = {"needs-data", "low-rank"}
"""Strategies that merge no state dicts; test_data_driven and test_lowrank_strategies try them."""
SPECS = [
    spec
    for spec in map(CATALOGUE.strategy, CATALOGUE.names("strategy"))
    if not OUTSIDE & spec.capabilities
]
QUICK = {"wudi": {"iterations": 4}}
"""Settings that only make a strategy faster."""
NEUTRAL: Mapping[str, Mapping[str, Any]] = {
    "breadcrumbs": {"gamma": 0.0},
    "breadcrumbs_ties": {"gamma": 0.0},
    "consensus_ta": {"k": 1, "mask_threshold": 0.0},
    "expo": {"alpha": 0.0},
    "lines": {"alpha": 1.0, "beta": 0.0},
    "magmax": {"lambda": 1.0},
    "nearswap": {"t": 100.0},
    "pcb": {"density": 1.0},
    "ramplus": {"r": 0.0},
    "ramplus_tl": {"r": 0.0},
    "slerp": {"t": 1.0},
    "wudi": {"learning_rate": 1e-8},
}
"""Settings with which a strategy is to hand a single model on, where the defaults are others."""
NO_IDENTITY = {
    "arcee_fusion": "takes over only the entries that changed most",
    "iso_c": "makes all singular values equal",
    "iso_cts": "makes all singular values equal",
}
NO_BASE = {"slerp": "its base is one of the two models"}
NO_SCALE = {
    "arcee_fusion": "weighs by a softmax of the weights",
    "nearswap": "its t is a distance",
    "ram": "its epsilon is a distance",
    "ramplus": "its epsilon is a distance",
    "ramplus_tl": "its epsilon is a distance",
    "wudi": "Adam's steps have a size of their own",
}

every = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
few = settings(max_examples=3, deadline=None)
seeds = st.integers(0, 10**6)


def having(capability: str) -> Any:
    found = [spec for spec in SPECS if capability in spec.capabilities]
    return pytest.mark.parametrize("spec", found, ids=lambda spec: spec.name)


def drawn(seed: int, zeros: float = 0.0) -> dict[str, torch.Tensor]:
    return {n: grid(seed + k, shape, zeros) for k, (n, shape) in enumerate(SHAPES.items())}


def inputs(spec: MergeSpec, seed: int) -> tuple[State | None, list[State]]:
    """Return a base, if the strategy can use one, and as many models as suit it."""
    least, most = spec.models
    count = most or max(least, 3)
    base = drawn(100 * seed)
    models = [plus(base, drawn(100 * seed + 10 * (n + 1), zeros=0.3)) for n in range(count)]
    has_base = spec.base != "unused" and spec.name not in NO_BASE
    return (base if has_base else None), models


def plus(one: State, other: State) -> dict[str, torch.Tensor]:
    return {name: one[name] + other[name] for name in one}


def times(factor: float, state: State) -> dict[str, torch.Tensor]:
    return {name: factor * value for name, value in state.items()}


def merged(
    spec: MergeSpec,
    base: State | None,
    models: Sequence[State],
    run: Settings | None = None,
    each: Sequence[Mapping[str, Any]] = (),
    **params: Any,
) -> dict[str, torch.Tensor]:
    fields = {**spec.params.model_fields, **spec.model_params.model_fields}
    needed = {field.alias or n: 0.5 for n, field in fields.items() if field.is_required()}
    given_ = {**needed, **QUICK.get(spec.name, {}), **params}
    return merge_states(
        models, spec.name, CATALOGUE, base=base, settings=run, model_params=each, **given_
    )


def assert_close(found: State, expected: State) -> None:
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-5)


def close(found: State, expected: State) -> bool:
    return all(torch.allclose(found[n], expected[n], rtol=1e-5, atol=1e-5) for n in expected)


def weights(spec: MergeSpec, count: int) -> list[dict[str, float]]:
    """Return a weight for each model, each another, if models have one."""
    has = "weight" in spec.model_params.model_fields
    return [{"weight": 0.25 * (n + 1)} if has else {} for n in range(count)]


def sparse(spec: MergeSpec) -> dict[str, float]:
    """Return a density at which entries are dropped, if the strategy drops any."""
    return {"density": 0.5} if "density" in spec.model_params.model_fields else {}


@every
@few
@given(seed=seeds)
def test_inputs_that_are_all_the_same_are_the_result(spec: MergeSpec, seed: int) -> None:
    base, models = inputs(spec, seed)
    one = models[0]
    assert_close(merged(spec, one if base else None, [one] * len(models)), one)


@every
@few
@given(seed=seeds)
def test_a_model_alone_is_the_result(spec: MergeSpec, seed: int) -> None:
    base, models = inputs(spec, seed)
    alone = [models[0]] * (max(1, spec.models[0]) if base else len(models))
    found = merged(spec, base, alone, **NEUTRAL.get(spec.name, {}))
    if spec.name in NO_IDENTITY:
        assert not close(found, models[0]), "the reason is not needed"
    else:
        assert_close(found, models[0])


@having("commutative")
@few
@given(seed=seeds, data=st.data())
def test_the_order_of_models_does_not_matter(spec: MergeSpec, seed: int, data: Any) -> None:
    base, models = inputs(spec, seed)
    order = data.draw(st.permutations(range(len(models))))
    each = weights(spec, len(models))
    expected = merged(spec, base, models, each=each, **sparse(spec))
    changed = [models[n] for n in order], None, [each[n] for n in order]
    found = merged(spec, base, *changed, **sparse(spec))
    assert_close(found, expected)


@having("linear")
@few
@given(one=seeds, other=seeds, factor=st.sampled_from([-1.5, 0.25, 2.0]))
def test_what_is_linear_of_a_sum_is_the_sum(
    spec: MergeSpec, one: int, other: int, factor: float
) -> None:
    (base, models), (base2, models2) = inputs(spec, one), inputs(spec, other)
    each = weights(spec, len(models))
    both = [plus(times(factor, a), b) for a, b in zip(models, models2, strict=True)]
    under = plus(times(factor, base), base2) if base and base2 else None
    parts = merged(spec, base, models, each=each), merged(spec, base2, models2, each=each)
    assert_close(merged(spec, under, both, each=each), plus(times(factor, parts[0]), parts[1]))


@having("delta")
@few
@given(seed=seeds, other=seeds)
def test_what_is_of_task_vectors_moves_with_the_base(
    spec: MergeSpec, seed: int, other: int
) -> None:
    base, models = inputs(spec, seed)
    assert base is not None
    by = drawn(other)
    moved = merged(spec, plus(base, by), [plus(model, by) for model in models], **sparse(spec))
    assert_close(moved, plus(merged(spec, base, models, **sparse(spec)), by))


@every
@few
@given(seed=seeds)
def test_in_other_units_it_is_the_same(spec: MergeSpec, seed: int) -> None:
    base, models = inputs(spec, seed)
    expected = merged(spec, base, models, **sparse(spec))
    same = []
    for factor in (2.0**-12, 2.0**6):
        scaled = None if base is None else times(factor, base)
        found = merged(spec, scaled, [times(factor, model) for model in models], **sparse(spec))
        same.append(close(times(1 / factor, found), expected))
    assert all(same) != (spec.name in NO_SCALE)


@every
def test_chunks_and_threads_change_no_bit(spec: MergeSpec) -> None:
    base, models = inputs(spec, 1)
    expected = merged(spec, base, models, **sparse(spec))
    for run in (Settings(chunk_size=4), Settings(chunk_size=7, threads=2)):
        found = merged(spec, base, models, run, **sparse(spec))
        assert all(torch.equal(found[name], value) for name, value in expected.items())


@every
def test_the_seed_matters_only_to_what_is_random(spec: MergeSpec) -> None:
    base, models = inputs(spec, 2)
    first, again, other = (
        merged(spec, base, models, Settings(seed=seed), **sparse(spec)) for seed in (3, 3, 4)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    same = all(torch.equal(first[name], other[name]) for name in first)
    assert same != ("random" in spec.capabilities)


@pytest.mark.parametrize("names", [NEUTRAL, NO_BASE, NO_IDENTITY, NO_SCALE, QUICK])
def test_every_exception_is_of_a_strategy_that_is_here(names: Mapping[str, object]) -> None:
    assert set(names) <= {spec.name for spec in SPECS}
