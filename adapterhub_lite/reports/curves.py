"""The curves of a run, read from its events."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MAX_SEEDS = 5
BOOKKEEPING: Final = frozenset({"time", "event", "seed", "step"})


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot: what it shows, and a line a seed, each a value by step."""

    title: str
    lines: dict[str, dict[int, float]] = field(default_factory=dict)

    def add(self, seed: int, step: int, value: float) -> None:
        """Add a point; a step that a resumed run took again counts once."""
        name = f"seed {seed}"
        if name in self.lines or len(self.lines) < MAX_SEEDS:
            self.lines.setdefault(name, {})[step] = value


def read_curves(events: Iterable[Mapping[str, Any]]) -> list[Panel]:
    """Return the loss, the score on validation rows that decides, and the learning rate.

    What a run did not report is left out.
    """
    loss, rate = Panel("training loss"), Panel("learning rate")
    validation: dict[str, Panel] = {}
    for number, event in enumerate(events):
        if event["event"] == "step" and event.get("stage") == "train":
            step = event.get("done", number)
            if "loss" in event:
                loss.add(event["seed"], step, event["loss"])
            if "learning_rate" in event:
                rate.add(event["seed"], step, event["learning_rate"])
        elif event["event"] == "evaluated":
            name = next((key for key in event if key not in BOOKKEEPING), None)
            if name is not None:
                panel = validation.setdefault(name, Panel(f"validation {name}"))
                panel.add(event["seed"], event["step"], event[name])
    return [panel for panel in (loss, *validation.values(), rate) if panel.lines]
