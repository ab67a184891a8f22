"""Progress of a run on stderr: a live bar on a terminal, else lines, one a tenth of the way."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from adapterhub_lite.training.notices import notice

STAGES: Final = {
    "encode": "encoding",
    "validate": "cross-validating",
    "train": "training",
    "test": "scoring",
    "test baseline": "scoring the baseline",
}
TENTHS: Final = 10


@dataclass(slots=True)
class _Stage:
    """A stage that is going on: since when, at which step first heard of, how far it was told."""

    task: TaskID
    start: float
    first: int
    told: int = 0


class RunProgress:
    """Turns a run's events into bars, or into lines when nobody watches a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._stages: dict[tuple[int, str], _Stage] = {}

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Show one event."""
        match event["event"]:
            case "seed-started":
                labels = f", {event['classes']} labels" if event["classes"] else ""
                self._say(f"seed {event['seed']}: {event['rows']:,} rows{labels}")
            case "step":
                self._step(event)
            case "evaluated":
                self._say(f"  step {event['step']:,}: validation {_metrics(event)}")
            case "self-test":
                self._say("self-test: reloading and comparing")
            case "seed-finished":
                self._say(f"seed {event['seed']}: kept {event['kept']}, {event['reason']}")
            case _ if words := notice(event):
                self._say(f"  {words}")

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _step(self, event: Mapping[str, Any]) -> None:
        key = (event["seed"], event["stage"])
        name = STAGES.get(event["stage"]) or event["stage"].replace("test ", "scoring ", 1)
        done, total = event["done"], event["total"]
        if key not in self._stages:
            task = self._progress.add_task(name, total=total, figures="")
            self._stages[key] = _Stage(task, time.monotonic(), done)
            if not self._console.is_terminal:
                self._say(f"  {name} …")
        stage = self._stages[key]
        figures = ", ".join(_figures(event, stage))
        self._progress.update(stage.task, completed=done, figures=figures)
        if figures and not self._console.is_terminal and done * TENTHS // total > stage.told:
            stage.told = done * TENTHS // total
            self._say(f"  {name}: {done * 100 // total} %, step {done:,} of {total:,}: {figures}")
        if done >= total:
            self._progress.update(stage.task, visible=False)

    def __enter__(self) -> "RunProgress":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def _figures(event: Mapping[str, Any], stage: _Stage) -> Iterator[str]:
    """Yield loss, learning rate and speed, of stages that have a loss."""
    if "loss" not in event:
        return
    yield f"loss {event['loss']:.4g}"
    if "learning_rate" in event:
        yield f"rate {event['learning_rate']:.2e}"
    seconds, steps = time.monotonic() - stage.start, event["done"] - stage.first
    if steps and seconds > 0:
        speed = steps / seconds
        yield f"{speed:.3g} steps/s"
        if left := round((event["total"] - event["done"]) / speed):
            yield f"{left // 60}:{left % 60:02d} left"


def _metrics(event: Mapping[str, Any]) -> str:
    known = ("time", "event", "seed", "step")
    found = [
        f"{name} {value:.4g}"
        for name, value in event.items()
        if name not in known and isinstance(value, int | float)
    ]
    return ", ".join(found)


def stderr_console() -> Console:
    """Return a console on stderr, so that stdout stays for results."""
    return Console(stderr=True)


@contextmanager
def counting(description: str, total: int) -> Iterator[Any]:
    """Show a bar on a terminal and yield a function that sets how much of ``total`` is done."""
    console = stderr_console()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task(description, total=total)
        yield lambda done: bar.update(task, completed=done)
