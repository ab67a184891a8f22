"""What a merge will cost: bytes by counting, time by merging one tensor and measuring it."""

import time
from dataclasses import dataclass, replace
from typing import Final

import torch

from adapterhub_lite.merging.adapters.updates import compress
from adapterhub_lite.merging.engine import TensorJob, one_torch_thread, prepare_strategies, run_job
from adapterhub_lite.merging.extraction.plan import LoraOutput
from adapterhub_lite.merging.plan import MergePlan
from adapterhub_lite.streaming.selection import RESIDENT
from adapterhub_lite.streaming.tensors import Origin

SAMPLE: Final = 8 * 2**20
"""The tensor that is tried has no more numbers than this, where there is one."""
CHUNKS_A_MODEL: Final = 3
"""Copies of a chunk that a strategy makes of each model, as a rule."""
COPIES_A_MATRIX: Final = 3
"""A merged matrix, its change of the base, and what a decomposition makes of that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Bytes read and written, bytes of memory beside the file cache, and seconds."""

    read: int
    written: int
    memory: int
    seconds: float


def estimate(plan: MergePlan) -> Cost:
    """Estimate a merge's cost; one tensor is merged, and its result thrown away."""
    origins = [origin for job in plan.jobs for origin in _all(job)]
    read = sum(origin.source.tensors[origin.name].nbytes for origin in origins)
    memory = plan.settings.threads * max((_memory(plan, job) for job in plan.jobs), default=0)
    memory += sum(_loaded(job) for job in plan.jobs)
    if plan.lora is not None:
        factors = factor_bytes(plan.lora)
        largest = max((job.output.size for job in plan.jobs), default=0)
        held = plan.settings.threads * 4 * COPIES_A_MATRIX * largest
        seconds = _seconds(plan) + _decomposing_seconds(plan, plan.lora)
        return Cost(read=read, written=factors, memory=memory + held + factors, seconds=seconds)
    written = sum(shape.nbytes for shape in plan.shapes.values())
    return Cost(read=read, written=written, memory=memory, seconds=_seconds(plan))


def factor_bytes(lora: LoraOutput) -> int:
    """Return what the factors take in 32 bits, at most; heads and the rest come beside them."""
    shapes = [lora.merged.tensors[name].shape for name, _ in lora.paired.layers.values()]
    return sum(4 * sum(shape) * min(lora.choice.rank or min(shape), *shape) for shape in shapes)


def _all(job: TensorJob) -> list[Origin]:
    return [*([job.base] if job.base else []), *job.origins]


def _memory(plan: MergePlan, job: TensorJob) -> int:
    if job.applied is None:
        return 0
    inputs = len(job.origins) + 2
    whole = "whole-tensor" in job.applied.spec.capabilities
    numbers = job.output.size if whole else min(plan.settings.chunk_size, job.output.size)
    return 4 * (CHUNKS_A_MODEL * inputs * numbers + min(RESIDENT, job.output.size))


def _loaded(job: TensorJob) -> int:
    """Return what computing with data keeps of a tensor, at most: models, and as much of each."""
    if job.applied is None or "needs-data" not in job.applied.spec.capabilities:
        return 0
    return 4 * job.output.size * 2 * (len(job.origins) + 1)


def _seconds(plan: MergePlan) -> float:
    """Time one tensor's job and scale by size; strategies that see the whole model are not tried.

    A strategy whose time does not grow with the size alone, as a decomposition's, takes longer.
    """
    merged = [job for job in plan.jobs if job.applied]
    if not merged:
        return 0.0
    fitting = [job for job in merged if job.output.size <= SAMPLE] or merged
    job = max(fitting, key=lambda candidate: candidate.output.size)
    whole_model = job.applied and "whole-model" in job.applied.spec.capabilities
    if whole_model or not job.output.size:
        return 0.0
    settings = replace(plan.settings, threads=1)
    started = time.perf_counter()
    run_job(job, _Nowhere(), settings, prepare_strategies([], settings))
    spent = time.perf_counter() - started
    total = sum(candidate.output.size for candidate in merged)
    return spent / job.output.size * total / plan.settings.threads


def _decomposing_seconds(plan: MergePlan, lora: LoraOutput) -> float:
    """Time the decomposition of one matrix of noise, and scale by size."""
    shapes = [lora.merged.tensors[name] for name, _ in lora.paired.layers.values()]
    if not shapes:
        return 0.0
    fitting = [shape for shape in shapes if shape.size <= SAMPLE] or shapes
    sample = max(fitting, key=lambda shape: shape.size)
    noise = torch.randn(sample.shape, generator=torch.Generator().manual_seed(0))
    started = time.perf_counter()
    with one_torch_thread():
        compress(noise, lora.choice, "estimate")
    spent = time.perf_counter() - started
    return spent / sample.size * sum(shape.size for shape in shapes) / plan.settings.threads


class _Nowhere:
    """Rounds as a writer does, and keeps nothing."""

    def write(self, name: str, start: int, values: torch.Tensor) -> None:
        values.to(torch.bfloat16)

    def finish(self, name: str) -> None:
        return None
