"""The bar for reading all files."""

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class LateBar:
    """A progress bar on stderr, for terminals, and only once the work takes longer than this."""

    PATIENCE = 2.0

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> "LateBar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, total: int) -> None:
        """Show how far the work is."""
        if self._bar is None:
            if time.monotonic() - self._start < self.PATIENCE or not sys.stderr.isatty():
                return
            self._bar = _start_bar()
            self._task = self._bar.add_task("reading", total=total)
        assert self._task is not None
        self._bar.update(self._task, completed=done)


def _start_bar() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    bar.start()
    return bar
