"""How a strategy runs: what it touches, and what its result may depend on."""

from typing import Any, Final

import torch

from adapterhub_lite.merging.engine import Settings
from adapterhub_lite.testing.merge_checks.bench import (
    WEIGHTS,
    bench_of,
    differs,
    require_equal,
    tensor_bench,
)
from adapterhub_lite.testing.outcomes import CheckFailedError, NotApplicableError
from adapterhub_lite.testing.subject import Subject

SMALL: Final = 16
"""Numbers in a chunk that is far smaller than a tensor."""
RUNS: Final = (
    Settings(chunk_size=SMALL),
    Settings(chunk_size=100, threads=2),
    Settings(threads=3),
)


def check_inputs_are_unmodified(subject: Subject) -> None:
    """The models and the base are after the merge what they were before it.

    Change what ``chunk.model`` and ``chunk.delta`` return, which are copies, and nothing else.
    """
    bench = bench_of(subject)
    models = [bench.draw(seed) for seed in range(1, bench.models + 1)]
    bench.merge(models, weights=WEIGHTS[: bench.models])
    for number, model in enumerate(models, 1):
        untouched = bench.dense(bench.draw(number))
        require_equal(bench.dense(model), untouched, f"the merge changed model {number}")


def check_every_number_is_written_once(subject: Subject) -> None:
    """Each number of the result is written exactly once, as a 32-bit float.

    Go over ``tensor.chunks()`` to the end and call ``chunk.write`` once for each; the core rounds.
    """
    bench = tensor_bench(subject)
    models = [bench.draw(seed) for seed in range(1, bench.models + 1)]
    bench.merge(models, settings=Settings(chunk_size=SMALL))
    for name, written in bench.watch.written.items():
        if not bool((written == 1).all()):
            times = "more than once" if bool((written > 1).any()) else "never"
            raise CheckFailedError(f"numbers of {name} are written {times}")
    if others := bench.watch.dtypes - {torch.float32}:
        raise CheckFailedError(f"it writes {', '.join(sorted(map(str, others)))}")


def check_result_is_the_same_in_any_run(subject: Subject) -> None:
    """The result does not depend on the size of chunks or the number of threads, to the bit.

    Sum what goes over chunks in 64 bits; draw by ``chunk.keep_mask`` or ``chunk.draws``; keep
    nothing on the strategy's object.
    """
    bench = tensor_bench(subject)
    models = [bench.draw(seed) for seed in range(1, bench.models + 1)]
    weights = WEIGHTS[: bench.models]
    first, *others = (bench.merge(models, weights=weights, settings=run) for run in RUNS)
    for other in others:
        require_equal(other, first, "the result depends on chunks or threads")


def check_seed(subject: Subject) -> None:
    """The same seed gives the same bits; another one matters exactly to what declares "random".

    Draw by ``chunk.keep_mask`` or ``chunk.draws``, which are keyed by the seed, and by nothing
    else; declare "random" where the result depends on it.
    """
    bench = bench_of(subject)
    models = [bench.draw(seed) for seed in range(1, bench.models + 1)]

    def merged(seed: int) -> Any:
        return bench.merge(models, settings=Settings(seed=seed))

    first = merged(0)
    require_equal(merged(0), first, "two merges with the same seed differ")
    random = "random" in bench.spec.capabilities
    if differs(merged(1), first) != random:
        raise CheckFailedError(
            "the result does not depend on the seed, though it declares 'random'"
            if random
            else "the result depends on the seed, and 'random' is not declared",
        )


def check_whole_tensor_is_declared(subject: Subject) -> None:
    """What reads a whole tensor at once declares "whole-tensor", by which memory is estimated.

    Declare the capability, or read by ``tensor.chunks()``.
    """
    bench = tensor_bench(subject)
    if "whole-tensor" in bench.spec.capabilities:
        raise NotApplicableError("it declares 'whole-tensor'")
    models = [bench.draw(seed) for seed in range(1, bench.models + 1)]
    bench.merge(models, settings=Settings(chunk_size=SMALL))
    for name, most in bench.watch.reads.items():
        shape = models[0][name].shape
        if most > max(SMALL, shape[-1] if shape else 1):
            raise CheckFailedError(
                f"of {name} {most} numbers are read at once, and 'whole-tensor' is not declared"
            )


CHECKS: Final = (
    check_inputs_are_unmodified,
    check_every_number_is_written_once,
    check_result_is_the_same_in_any_run,
    check_seed,
    check_whole_tensor_is_declared,
)
