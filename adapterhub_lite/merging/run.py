"""Runs a plan: into a folder, or as a version of the registry; nothing half-written is visible."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import MergeError, StorageError, UserError
from adapterhub_lite.merging.adapters.plan import AdapterPlan
from adapterhub_lite.merging.adapters.run import run_adapter_plan
from adapterhub_lite.merging.engine import TensorJob, run_jobs
from adapterhub_lite.merging.extraction.merged import run_lora_plan
from adapterhub_lite.merging.folder.write import write_folder
from adapterhub_lite.merging.plan import MergePlan
from adapterhub_lite.merging.publishing import draft_of
from adapterhub_lite.merging.results import MergeResult, require_name
from adapterhub_lite.merging.space import require_space
from adapterhub_lite.merging.writer import FolderWriter
from adapterhub_lite.recipes.merge import parse_size
from adapterhub_lite.streaming.headers import read_model_headers
from adapterhub_lite.streaming.layout import lay_out, total_bytes

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry, Version

Progress = Callable[[int, int], None]
"""Called with the bytes of the output that are merged, and all of them."""


def run_merge(
    plan: MergePlan | AdapterPlan,
    catalogue: Catalogue,
    registry: "Registry",
    *,
    out: Path | None = None,
    progress: Progress | None = None,
) -> MergeResult:
    """Merge into ``out``, or publish under the recipe's name.

    A killed run leaves a hidden folder, from which the same merge goes on. Raises MergeError for
    what the numbers tell (a NaN), StorageError when the disk is too small, before it is written.
    """
    if isinstance(plan, AdapterPlan):
        return _run_adapters(plan, catalogue, registry, out)
    if plan.lora is not None:
        return run_lora_plan(plan, plan.lora, catalogue, registry, out, progress)
    place = _staging(plan, registry, out)
    with _alone(place):
        _require_space(plan, place)
        writer = FolderWriter(place, plan.shapes, _shard_bytes(plan), plan.digest)
        resumed = len(writer.done)
        with _kept_for_another_try(writer, place):
            telling = _Telling(plan, writer, progress) if progress else None
            run_jobs(plan.jobs, writer, plan.settings, done=writer.done, progress=telling)
            writer.close()
        write_folder(place, plan, catalogue)
        _require_as_planned(plan, place)
        version = None
        if out is None:
            version = _publish(plan, place, catalogue, registry)
        else:
            _reveal(place, out)
    return MergeResult(
        plan=plan,
        folder=out,
        version=version,
        notices=plan.notices,
        tensors=len(plan.shapes),
        written=sum(shape.nbytes for shape in plan.shapes.values()),
        resumed=resumed,
    )


def _run_adapters(
    plan: AdapterPlan, catalogue: Catalogue, registry: "Registry", out: Path | None
) -> MergeResult:
    merged, version = run_adapter_plan(plan, catalogue, registry, out)
    factors = [result.factors for result in merged.modules.values()]
    return MergeResult(
        plan=plan,
        folder=out,
        version=version,
        notices=[*plan.notices, *merged.notices],
        tensors=2 * len(factors),
        written=sum(4 * (part.up.numel() + part.down.numel()) for part in factors),
        modules=merged.modules,
    )


def _staging(plan: MergePlan, registry: "Registry", out: Path | None) -> Path:
    if out is None:
        require_name(plan.recipe)
        return registry.home / "merges" / plan.digest[:16]
    target = out.expanduser().absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} is there already", hint="give a new folder")
    return target.parent / f".{target.name[:100]}.merge-{plan.digest[:12]}"


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Refuse to run beside the same merge: both would write the same files."""
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{place}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(
            "the same merge is running already", hint="wait for it, or stop it"
        ) from None
    try:
        yield
    finally:
        Path(f"{place}.lock").unlink(missing_ok=True)
        lock.release()


def _require_space(plan: MergePlan, place: Path) -> None:
    size = total_bytes(lay_out(plan.shapes, _shard_bytes(plan)))
    begun = sum(file.stat().st_blocks * 512 for file in place.glob("*") if file.is_file())
    require_space(size, place.parent, begun=begun)


def _shard_bytes(plan: MergePlan) -> int:
    return parse_size(plan.recipe.output.shard_size)


@contextmanager
def _kept_for_another_try(writer: FolderWriter, place: Path) -> Iterator[None]:
    """Keep what is done when the run is interrupted; throw it away when the inputs are at fault."""
    try:
        yield
    except BaseException as error:
        writer.abandon()
        if isinstance(error, MergeError):
            shutil.rmtree(place, ignore_errors=True)
        raise


class _Telling:
    """Turns finished tensors into bytes done; called from several threads."""

    def __init__(self, plan: MergePlan, writer: FolderWriter, tell: Progress) -> None:
        self._tell = tell
        self._total = sum(shape.nbytes for shape in plan.shapes.values())
        self._done = sum(plan.shapes[name].nbytes for name in writer.done)

    def __call__(self, job: TensorJob) -> None:
        self._done += job.output.nbytes
        self._tell(self._done, self._total)


def _require_as_planned(plan: MergePlan, place: Path) -> None:
    """Read the written headers back and compare them with the plan."""
    written = read_model_headers(place, place.name)
    found = {name: (tensor.dtype, tensor.shape) for name, tensor in written.items()}
    planned = {name: (shape.dtype, shape.shape) for name, shape in plan.shapes.items()}
    if found != planned:
        raise StorageError("the written files are not what was planned", hint="check the disk")


def _publish(plan: MergePlan, place: Path, catalogue: Catalogue, registry: "Registry") -> "Version":
    from adapterhub_lite.training.publish import publish_folder

    draft = draft_of(plan, catalogue)
    name = require_name(plan.recipe)
    version = publish_folder(place, name, draft, registry, plan.recipe.alias)
    shutil.rmtree(place, ignore_errors=True)
    return version


def _reveal(place: Path, out: Path) -> None:
    """Give the finished folder its name."""
    target = out.expanduser().absolute()
    if target.is_dir():
        target.rmdir()
    _sync_folder(place)
    place.rename(target)
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
