"""Runs the jobs of a merge: one a tensor, in threads, each with one thread of torch's."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import torch

from adapterhub_lite.merging.output import Writer
from adapterhub_lite.protocols import MergeStrategy
from adapterhub_lite.specs import MergeSpec
from adapterhub_lite.streaming.headers import TensorShape
from adapterhub_lite.streaming.tensors import CHUNK, Layer, MergeTensor, Origin

LARGE_BLOCK: Final = 24 * 2**20

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Applied:
    """A strategy with its spec, as a merge applies it.

    ``subjects`` are the models with their data, in the order of the models, for one that needs it.
    """

    spec: MergeSpec
    strategy: MergeStrategy
    subjects: Sequence[Any] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorJob:
    """One tensor of the output: what it is made of, by which strategy, and with what parameters.

    ``applied`` is None for a tensor that is copied from its first origin as it is. The result's
    difference from the base is multiplied by ``delta_scale``.
    """

    name: str
    output: TensorShape
    applied: Applied | None
    delta_scale: float = 1.0
    params: Any = None
    model_params: tuple[Any, ...] = ()
    base: Origin | None = None
    origins: tuple[Origin, ...] = ()
    layer: Layer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a merge is run; none of it changes a number but the seed and the device's rounding."""

    threads: int = 1
    chunk_size: int = CHUNK
    seed: int = 0
    device: str = "cpu"


Progress = Callable[[TensorJob], None]


def run_jobs(
    jobs: Sequence[TensorJob],
    writer: Writer,
    settings: Settings,
    *,
    done: Collection[str] = (),
    progress: Progress | None = None,
) -> None:
    """Run all jobs that are not done; the first error ends the merge.

    ``progress`` is called from the threads, after each tensor.
    """
    _let_buffers_be_reused()
    prepared = prepare_strategies(jobs, settings)
    left = [job for job in jobs if job.name not in done]
    with one_torch_thread(), ThreadPoolExecutor(settings.threads, initializer=_one) as pool:
        run = partial(
            run_job, writer=writer, settings=settings, prepared=prepared, progress=progress
        )
        _await([pool.submit(run, job) for job in left])


def _let_buffers_be_reused() -> None:
    """Free one large block, after which glibc keeps blocks of a chunk's size for the next chunk.

    Until then it gives each back to the kernel, and the next is zeroed page by page.
    """
    torch.empty(LARGE_BLOCK, dtype=torch.uint8)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Compute each tensor with one thread: several tensors at once make better use of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_threads(work: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """Yield the results in order, several being worked on at once, each by one of torch's threads.

    The first error ends it.
    """
    with one_torch_thread(), ThreadPoolExecutor(threads, initializer=_one) as pool:
        yield from pool.map(work, items)


def merge_tensor(
    job: TensorJob, writer: Writer, settings: Settings, prepared: Any = None
) -> MergeTensor:
    """Return what a job's strategy sees."""
    return MergeTensor(
        name=job.name,
        shape=job.output.shape,
        params=job.params,
        model_params=job.model_params,
        base_origin=job.base,
        origins=job.origins,
        write=_writing(job, writer),
        layer=job.layer,
        seed=settings.seed,
        prepared=prepared,
        chunk_size=settings.chunk_size,
        device=torch.device(settings.device),
    )


def _writing(job: TensorJob, writer: Writer) -> Callable[[int, torch.Tensor], None]:
    if job.base is None or job.delta_scale == 1.0:
        return partial(writer.write, job.name)
    base = job.base

    def scaled(start: int, values: torch.Tensor) -> None:
        under = base.read(start, start + values.numel()).to(values.device)
        writer.write(job.name, start, under.lerp_(values, job.delta_scale))

    return scaled


def _one() -> None:
    torch.set_num_threads(1)  # OpenMP's setting belongs to a thread


def run_job(
    job: TensorJob,
    writer: Writer,
    settings: Settings,
    prepared: Mapping[int, Any],
    progress: Progress | None = None,
) -> None:
    """Merge one tensor and finish it."""
    with torch.inference_mode():
        if job.applied is None:
            _copy(job, writer, settings.chunk_size)
        else:
            known = prepared.get(id(job.applied))
            job.applied.strategy.merge(merge_tensor(job, writer, settings, known))
    writer.finish(job.name)
    if progress is not None:
        progress(job)


def _copy(job: TensorJob, writer: Writer, chunk_size: int) -> None:
    origin = job.origins[0]
    values = origin.source.raw(origin.name).reshape(-1)
    for start in range(0, values.numel(), chunk_size):
        writer.write(job.name, start, values[start : start + chunk_size])


def prepare_strategies(jobs: Iterable[TensorJob], settings: Settings) -> dict[int, Any]:
    """Let strategies that look at the whole model do so; by the id of what is applied."""
    by_strategy: dict[int, list[TensorJob]] = {}
    for job in jobs:
        if job.applied and "whole-model" in job.applied.spec.capabilities:
            by_strategy.setdefault(id(job.applied), []).append(job)
    prepared: dict[int, Any] = {}
    for key, own in by_strategy.items():
        with one_torch_thread():
            prepared[key] = _prepare(own, settings)
    return prepared


def _prepare(own: Sequence[TensorJob], settings: Settings) -> Any:
    applied = own[0].applied
    assert applied is not None, "only what a strategy is applied to is prepared"
    strategy: Any = applied.strategy
    tensors = [merge_tensor(job, _NoWriter(), settings) for job in own]
    needs_data = "needs-data" in applied.spec.capabilities
    with torch.inference_mode(not needs_data), torch.set_grad_enabled(needs_data):
        if needs_data:
            return strategy.prepare_with_data(tensors, applied.subjects, own[0].params)
        return strategy.prepare(tensors)


class _NoWriter:
    """For tensors that are only looked at."""

    def write(self, name: str, start: int, values: torch.Tensor) -> None:
        raise AssertionError("a strategy's prepare writes nothing")

    def finish(self, name: str) -> None:
        raise AssertionError("a strategy's prepare finishes nothing")


def _await(futures: Sequence[Future[None]]) -> None:
    """Wait for all; after an error no further tensor is begun."""
    finished, waiting = wait(futures, return_when=FIRST_EXCEPTION)
    for future in waiting:
        future.cancel()
    for future in finished:
        future.result()
