"""A run's folder and its ``events.jsonl``: the single source for bars, plots and trackers."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from adapterhub_lite.catalogue import Catalogue

Listener = Callable[[Mapping[str, Any]], None]


class RunLog:
    """Writes events to a run's folder and tells listeners and plugins of each."""

    def __init__(
        self,
        folder: Path,
        catalogue: Catalogue,
        listeners: Sequence[Listener] = (),
        *,
        resume: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=resume)
        self.folder = folder
        self._catalogue = catalogue
        self._listeners = listeners
        self.file = folder / "events.jsonl"
        self._stream = self.file.open("a", encoding="utf-8")  # a resumed run goes on below

    def emit(self, event: str, **fields: Any) -> None:
        """Append an event; the line is in the file before anybody is told."""
        record = {"time": round(time.time(), 3), "event": event, **fields}
        self._stream.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")
        self._stream.flush()
        for listener in self._listeners:
            listener(record)
        self._catalogue.run_event(record)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


class SeedRun:
    """One seed's view of a run, as an objective sees it."""

    def __init__(self, log: RunLog, seed: int, *, resume: bool = False) -> None:
        self.seed = seed
        self.folder = log.folder / f"seed-{seed}"
        self.resume = resume
        self._log = log

    def emit(self, event: str, **fields: Any) -> None:
        """Append an event that carries this seed."""
        self._log.emit(event, seed=self.seed, **fields)

    def step(self, stage: str, done: int, total: int, **figures: float) -> None:
        """Append a progress event."""
        self._log.emit("step", seed=self.seed, stage=stage, done=done, total=total, **figures)


def read_events(file: Path) -> list[dict[str, Any]]:
    """Read an events file; a last line that a crash cut off is left out."""
    events = []
    for line in file.read_bytes().split(b"\n"):
        try:
            events.append(json.loads(line))
        except ValueError:  # cut off, or the nothing behind the last line
            break
    return events
