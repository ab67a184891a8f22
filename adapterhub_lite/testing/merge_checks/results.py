"""What comes out of a merge."""

from collections.abc import Callable
from typing import Any, Final

import torch

from adapterhub_lite.testing.merge_checks.bench import (
    SHAPES,
    WEIGHTS,
    Bench,
    State,
    bench_of,
    differs,
    grid,
    grid_state,
    plus,
    require_close,
    tensor_bench,
)
from adapterhub_lite.testing.outcomes import CheckFailedError, NotApplicableError
from adapterhub_lite.testing.subject import Subject

HUGE: Final = 1e18
"""Weights of this size are finite, and so are their squares; the sum of many squares is not."""
DENORMAL: Final = 2.0**-140
"""The size of numbers that 32 bits hold with fewer digits than others."""


def check_one_model_is_returned(subject: Subject) -> None:
    """One model alone, with the weight 1, comes out as it went in.

    Where the strategy means to change even a single model, name the check in expected_failures
    with the reason, or give params in adapterhub_conformance with which it does not.
    """
    bench = bench_of(subject)
    if bench.spec.models[0] > 1:
        raise NotApplicableError(f"it takes {bench.spec.models[0]} models at least")
    found = bench.merge([bench.draw(1)], weights=[1.0])
    # drawn anew: the merge might have changed the one that it was given
    require_close(found, bench.dense(bench.draw(1)), "one model is not returned")


def check_identical_models_are_returned(subject: Subject) -> None:
    """Models that are all the same, whose weights sum to 1, come out as they went in.

    Where the strategy adds up, or means to change what all have, name the check in
    expected_failures with the reason.
    """
    bench = bench_of(subject)
    if bench.models == 1:
        raise NotApplicableError("it takes one model")
    models = [bench.draw(1) for _ in range(bench.models)]
    found = bench.merge(models, weights=[1.0 / bench.models] * bench.models)
    require_close(found, bench.dense(bench.draw(1)), "identical models are not returned")


def check_order_of_models(subject: Subject) -> None:
    """With the capability "commutative" the order of the models, with their weights, is nothing.

    Take the capability away, or treat all models alike.
    """
    bench = _capable(subject, "commutative")
    if bench.models == 1:
        raise NotApplicableError("it takes one model")
    models = [bench.draw(seed) for seed in range(1, bench.models + 1)]
    weights = WEIGHTS[: bench.models]
    first = bench.merge(models, weights=weights)
    turned = bench.merge(models[::-1], weights=weights[::-1])
    require_close(turned, first, "the order of the models matters")


def check_linearity(subject: Subject) -> None:
    """With the capability "linear" the result is a weighted sum of base and models.

    The result for all of them has to be the sum of the results for each beside zeros, and twice as
    large when they are. Take the capability away where that is not so.
    """
    bench = _capable(subject, "linear")
    weights = WEIGHTS[: bench.models]
    base = grid_state(5)
    models = [bench.draw(seed) for seed in range(1, bench.models + 1)]
    zeros = [bench.zero()] * bench.models
    nothing = {name: torch.zeros(shape) for name, shape in SHAPES.items()}

    def merged(models: list[Any], base: State) -> State:
        under = base if bench.spec.base == "needed" else None
        return bench.merge(models, under, weights=weights)

    total = merged(zeros, base)
    for number, model in enumerate(models):
        total = plus(total, merged([*zeros[:number], model, *zeros[number + 1 :]], nothing))
    whole = merged(models, base)
    require_close(whole, total, "the whole is not the sum of its parts")
    twice = merged([bench.scaled(model, 2.0) for model in models], plus(base, base))
    require_close(twice, plus(whole, whole), "twice the input is not twice the result")


def check_delta(subject: Subject) -> None:
    """With the capability "delta" what is added to the base follows from the task vectors alone.

    The same task vectors on another base have to add the same. Compute with ``chunk.deltas`` and
    add to ``chunk.base``, or take the capability away.
    """
    bench = tensor_bench(subject)
    _require(bench, "delta")
    first, second = grid_state(5), grid_state(6)
    deltas = [grid_state(seed) for seed in range(1, bench.models + 1)]
    weights = WEIGHTS[: bench.models]
    added = [
        plus(
            bench.merge([plus(base, delta) for delta in deltas], base, weights=weights),
            bench.scaled(base, -1.0),
        )
        for base in (first, second)
    ]
    require_close(added[1], added[0], "what is added depends on the base's own numbers")


def check_base(subject: Subject) -> None:
    """A base that is "needed" or "optional" is used, and one that is "unused" is not missed.

    Set ``base`` of the spec to what the strategy does.
    """
    bench = tensor_bench(subject)
    if bench.spec.base == "unused":
        models = [bench.draw(seed) for seed in range(1, bench.models + 1)]
        _require_no_base_is_read(bench.merge(models), bench.merge(models, grid_state(5)))
        return
    count = bench.models if bench.spec.base == "needed" else bench.spec.models[0]
    models = [bench.draw(seed) for seed in range(1, count + 1)]
    if not differs(bench.merge(models, grid_state(5)), bench.merge(models, grid_state(6))):
        raise CheckFailedError(f"it makes no use of its base, which is {bench.spec.base}")
    if bench.spec.base == "optional" and count > 1:
        _require_finite(bench.merge(models), "without a base")


def check_extreme_numbers(subject: Subject) -> None:
    """Zeros, equal models, denormal and huge numbers, all of them finite, give finite results.

    Guard divisions by sums and norms that can be zero; take norms of large numbers in 64 bits.
    """
    bench = tensor_bench(subject)
    sizes: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "zeros": torch.zeros_like,
        "denormal numbers": lambda value: value * DENORMAL,
        "huge numbers": lambda value: value * HUGE,
        "huge numbers among small": lambda value: value * torch.where(value > 0.4, HUGE, 1e-3),
    }
    for what, size in sizes.items():
        models = [
            {name: size(value) for name, value in grid_state(seed).items()}
            for seed in range(1, bench.models + 1)
        ]
        base = {name: size(value) for name, value in bench.base().items()}
        under = base if bench.needs_base(bench.models) else None
        _require_finite(bench.merge(models, under), f"for {what}")
    _require_finite(bench.merge([bench.base()] * bench.models), "for models that are the base")


def check_shapes(subject: Subject) -> None:
    """Scalars, vectors, empty tensors and tensors of three dimensions are merged as well.

    Fall back on something simple, a mean, where the shape does not allow the strategy.
    """
    bench = tensor_bench(subject)
    shapes: dict[str, tuple[int, ...]] = {
        "scalar": (),
        "vector": (7,),
        "empty": (0, 4),
        "one": (1, 1),
        "row": (1, 5),
        "three": (3, 4, 5),
    }
    base = grid_state(5, shapes)
    models = [plus(base, grid_state(seed, shapes)) for seed in range(1, bench.models + 1)]
    found = bench.merge(models, base if bench.needs_base(bench.models) else None)
    _require_finite(found, "for tensors of other shapes")


def check_mismatched_factors(subject: Subject) -> None:
    """Updates of different shapes are refused with an error of the project's.

    The core compares tensors before a strategy is called, but not factors: call
    ``require_same_shape``.
    """
    from adapterhub_lite.errors import AdapterHubError
    from adapterhub_lite.streaming.factors import Factors

    bench = bench_of(subject)
    _require(bench, "low-rank")
    if bench.models == 1:
        raise NotApplicableError("it takes one adapter")
    other = Factors(grid(1, (3, 20)), grid(2, (14, 3)))
    try:
        bench.merge([bench.draw(1), other])
    except AdapterHubError:
        return
    except Exception as error:
        raise CheckFailedError(
            f"updates of different shapes raise {type(error).__name__}, not MergeError"
        ) from error
    raise CheckFailedError("updates of different shapes are merged without an error")


def _capable(subject: Subject, capability: str) -> Bench:
    bench = bench_of(subject)
    _require(bench, capability)
    return bench


def _require(bench: Bench, capability: str) -> None:
    if capability not in bench.spec.capabilities:
        raise NotApplicableError(f"it does not declare {capability!r}")


def _require_no_base_is_read(without: State, beside: State) -> None:
    if differs(without, beside):
        raise CheckFailedError("it computes with a base, which its spec calls unused")


def _require_finite(state: State, when: str) -> None:
    for name, value in state.items():
        if not bool(value.isfinite().all()):
            what = "NaN" if bool(value.isnan().any()) else "an infinity"
            raise CheckFailedError(f"{when} the result has {what}, in {name}")


CHECKS: Final = (
    check_one_model_is_returned,
    check_identical_models_are_returned,
    check_order_of_models,
    check_linearity,
    check_delta,
    check_base,
    check_extreme_numbers,
    check_shapes,
    check_mismatched_factors,
)
