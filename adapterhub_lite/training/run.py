"""Run a plan: load, attach, fit and score per seed; keep the best; self-test; publish."""

import math
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.data.table import RowSet
from adapterhub_lite.errors import NonFiniteError
from adapterhub_lite.evaluation import Evaluation, evaluate
from adapterhub_lite.protocols import Attached, Outcome, Scorer
from adapterhub_lite.training.artifact import write_artifact
from adapterhub_lite.training.events import Listener, RunLog, SeedRun
from adapterhub_lite.training.plan import Plan
from adapterhub_lite.training.publish import publish
from adapterhub_lite.training.results import SeedResult, TrainResult
from adapterhub_lite.training.resume import has_checkpoints, resumed_folder, write_identity
from adapterhub_lite.training.selftest import self_test

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry


LOADING: Final = "take a smaller base, or load it in fewer bits: loader: bf16, or nf4"
SCORING: Final = "take a smaller objective.max_length, or a smaller base"
"""What to do when memory runs out: while the base is loaded, and while rows are scored."""


@dataclass(slots=True)
class _Trained:
    result: SeedResult
    attached: Attached
    outcome: Outcome


def run_plan(
    plan: Plan,
    catalogue: Catalogue,
    registry: "Registry",
    listeners: Sequence[Listener] = (),
    resume: Path | None = None,
) -> TrainResult:
    """Run a plan to its published version; on any failure nothing is published.

    ``resume`` is the folder of an interrupted run of the same recipe on the same rows: seeds go on
    from their last checkpoints. Raises RecipeError when it is of another recipe, TrainingError for
    a failed run or self-test, StorageError when the disk refuses.
    """
    folder = resumed_folder(resume, plan) if resume else _run_folder(registry.home, plan)
    log = RunLog(folder, catalogue, listeners, resume=resume is not None)
    write_identity(folder, plan)
    with _closing(log):
        log.emit("started", recipe=plan.resolved_recipe(), folder=str(folder))
        best, seeds = _train_seeds(plan, catalogue, log, resume is not None)
        staging = folder / "artifact"
        try:
            report = write_artifact(
                staging, plan, best.attached, best.outcome, best.result, seeds, catalogue, log.file
            )
            kept_report = folder / "report.html"
            shutil.copyfile(report, kept_report)
            log.emit("self-test")
            self_test(staging, plan, best.outcome.scorer, catalogue)
            version = None
            if plan.recipe.publish is not None:
                version = publish(staging, plan, best.result, registry)
                log.emit("published", version=str(version), digest=version.digest)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        log.emit("finished", report=str(kept_report))
    results = tuple(seeds)
    return TrainResult(plan, results, best.result, folder, kept_report, version)


def _run_folder(home: Path, plan: Plan) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    return home / "runs" / f"{stamp}-{plan.recipe.publish or 'unpublished'}"


@contextmanager
def _closing(log: RunLog) -> Iterator[None]:
    """Close the log, with a last event that says how a run that failed ended, and if it can go on.

    From a loss that became NaN it cannot: the same steps would lead there again.
    """
    try:
        yield
    except BaseException as error:
        resumable = has_checkpoints(log.folder) and not isinstance(error, NonFiniteError)
        more = {"resume": str(log.folder)} if resumable else {}
        log.emit("failed", error=f"{type(error).__name__}: {error}", **more)
        raise
    finally:
        log.close()


def _train_seeds(
    plan: Plan, catalogue: Catalogue, log: RunLog, resume: bool
) -> tuple[_Trained, list[SeedResult]]:
    """Train with each seed; only the best one's model stays in memory."""
    best: _Trained | None = None
    results: list[SeedResult] = []
    for seed in range(plan.recipe.seed, plan.recipe.seed + plan.recipe.seeds):
        trained = _train_seed(plan, catalogue, log, seed, resume)
        results.append(trained.result)
        if best is None or _rank(trained.result) > _rank(best.result):
            best = trained
    assert best is not None, "a recipe has at least one seed"
    return best, results


def _rank(result: SeedResult) -> float:
    """Return what seeds are compared by: the validation score, never the test's."""
    known = result.selection is not None and math.isfinite(result.selection)
    return result.selection if known and result.selection is not None else -math.inf


def _train_seed(plan: Plan, catalogue: Catalogue, log: RunLog, seed: int, resume: bool) -> _Trained:
    run = SeedRun(log, seed, resume=resume)
    rows = plan.training_rows(seed)
    run.emit("seed-started", rows=len(rows), classes=len(rows.classes))
    from adapterhub_lite.finetuning.memory import explaining_memory

    with explaining_memory(LOADING):
        attached = _attach(plan, catalogue, seed)
    objective = catalogue.implementation(plan.objective.spec)
    start = time.process_time()
    data = plan.training_data(seed)
    with explaining_memory(SCORING):
        outcome: Outcome = objective.fit(attached, data, plan.objective.params, run)
        seconds = time.process_time() - start
        test, baseline, by_source = _score(plan, outcome, catalogue, run)
    result = SeedResult(
        seed=seed,
        rows=len(rows),
        kept=outcome.kept,
        reason=outcome.reason,
        selection=outcome.selection,
        candidates=dict(outcome.candidates),
        hyperparameters=dict(outcome.hyperparameters),
        test=test,
        baseline=baseline,
        seconds=seconds,
        by_source=by_source,
    )
    figures = {metric.name: metric.value for metric in test.metrics} if test else {}
    run.emit("seed-finished", kept=outcome.kept, reason=outcome.reason, cpu=seconds, test=figures)
    return _Trained(result, attached, outcome)


def _attach(plan: Plan, catalogue: Catalogue, seed: int) -> Attached:
    """Load the base and attach the method; whatever is drawn at random comes from the seed."""
    import torch

    torch.manual_seed(seed)
    loader = catalogue.implementation(plan.loader.spec)
    base = loader.load(plan.base, plan.head, plan.loader.params, plan.recipe.device)
    attached: Attached = catalogue.implementation(plan.method.spec).attach(base, plan.method.params)
    attached.learning_rate = plan.method.spec.learning_rate
    return attached


def _score(
    plan: Plan, outcome: Outcome, catalogue: Catalogue, run: SeedRun
) -> tuple[Evaluation | None, Evaluation | None, dict[str, Evaluation]]:
    """Score the test rows with the model and its baseline, and each data set's own rows."""
    rows = plan.data.test
    if rows is None:
        return None, None, {}

    def score(scorer: Scorer, asked: RowSet, stage: str) -> Evaluation:
        def progress(done: int) -> None:
            run.step(stage, done, len(asked))

        return evaluate(scorer, asked, catalogue, progress, task=plan.objective.spec.task)

    test = score(outcome.scorer, rows, "test")
    baseline = score(outcome.baseline, rows, "test baseline") if outcome.baseline else None
    each = plan.data.tests.items() if len(plan.data.tests) > 1 else ()
    return test, baseline, {n: score(outcome.scorer, own, f"test {n}") for n, own in each}
