"""The curves, to the run's events and to trackers: one source, the same figures everywhere."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from adapterhub_lite.errors import MissingDependencyError
from adapterhub_lite.finetuning.params import TrackerName
from adapterhub_lite.protocols import Run

PROJECT = "adapterhub-lite"


class Tracker(Protocol):
    """Takes figures by name."""

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Record figures of a step."""

    def close(self) -> None:
        """Finish what was recorded."""


class Reporter:
    """Tells the run, and the trackers, how training goes."""

    def __init__(self, run: Run, trackers: Sequence[Tracker]) -> None:
        self._run = run
        self._trackers = trackers

    def step(self, done: int, total: int, **figures: float) -> None:
        """Report an optimiser step."""
        self._run.step("train", done, total, **figures)
        self._log(done, "train", figures)

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        """Report an evaluation."""
        self._run.emit("evaluated", **{**metrics, "step": step})
        self._log(step, "validation", metrics)

    def resumed(self, step: int) -> None:
        """Report that training goes on after a step."""
        self._run.emit("resumed", step=step)

    def _log(self, step: int, prefix: str, figures: Mapping[str, float]) -> None:
        for tracker in self._trackers:
            tracker.log(step, {f"{prefix}/{name}": value for name, value in figures.items()})


@contextmanager
def reporting(run: Run, names: Sequence[TrackerName]) -> Iterator[Reporter]:
    """Open the trackers; raises MissingDependencyError for one that is not installed."""
    with ExitStack() as stack:
        trackers = []
        for name in dict.fromkeys(names):
            try:
                tracker = _TRACKERS[name](run)
            except ImportError as error:
                raise MissingDependencyError(
                    name, install=f"pip install 'adapterhub-lite[{name}]'"
                ) from error
            stack.callback(tracker.close)
            trackers.append(tracker)
        yield Reporter(run, trackers)


class _TensorBoard:
    def __init__(self, run: Run) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(run.folder / "tensorboard"))

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _Service:
    """wandb, and trackio, which has wandb's interface."""

    def __init__(self, library: Any, folder: Path, **options: Any) -> None:
        self._library = library
        library.init(project=PROJECT, name=f"{folder.parent.name}-{folder.name}", **options)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self._library.log(dict(figures), step=step)

    def close(self) -> None:
        self._library.finish()


def _wandb(run: Run) -> Tracker:
    run.folder.mkdir(parents=True, exist_ok=True)
    return _Service(import_module("wandb"), run.folder, dir=str(run.folder))


def _trackio(run: Run) -> Tracker:
    return _Service(import_module("trackio"), run.folder)


_TRACKERS: Mapping[TrackerName, Callable[[Run], Tracker]] = {
    "tensorboard": _TensorBoard,
    "wandb": _wandb,
    "trackio": _trackio,
}
