"""Progress of a run on stderr: a live bar on a terminal, a line a stage elsewhere."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

STAGES = {
    "encode": "encoding",
    "validate": "cross-validating",
    "train": "training",
    "test": "scoring",
    "test baseline": "scoring the baseline",
}


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
        self._tasks: dict[tuple[int, str], TaskID] = {}

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Show one event."""
        match event["event"]:
            case "seed-started":
                self._say(f"seed {event['seed']}: {event['rows']} rows, {event['classes']} labels")
            case "step":
                self._step(event)
            case "texts-cut":
                self._say(
                    f"  {event['count']} of {event['of']} texts reach {event['max_length']} tokens "
                    "and are cut there; raise objective.max_length to see more of them"
                )
            case "self-test":
                self._say("self-test: reloading and comparing")
            case "seed-finished":
                self._say(f"seed {event['seed']}: kept {event['kept']}, {event['reason']}")

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _step(self, event: Mapping[str, Any]) -> None:
        key = (event["seed"], event["stage"])
        name = STAGES.get(event["stage"], event["stage"])
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task(name, total=event["total"], figures="")
            if not self._console.is_terminal:
                self._say(f"  {name} …")
        figures = f"loss {event['loss']:.3f}" if "loss" in event else ""
        self._progress.update(self._tasks[key], completed=event["done"], figures=figures)
        if event["done"] >= event["total"]:
            self._progress.update(self._tasks[key], visible=False)

    def __enter__(self) -> "RunProgress":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


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
