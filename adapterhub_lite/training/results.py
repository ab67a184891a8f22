"""What a training gave, for a person, a report or a script."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.evaluation import Evaluation, mean_interval
from adapterhub_lite.wording import counted

if TYPE_CHECKING:
    from adapterhub_lite.training.plan import Plan
    from adapterhub_lite_registry import Version


@dataclass(frozen=True, slots=True)
class SeedResult:
    """What one seed gave: why which candidate was kept, and the scores on the test rows.

    ``by_source`` has the scores on each data set's own test rows, where several were mixed.
    ``seconds`` is the CPU time of fitting, all threads together.
    """

    seed: int
    rows: int
    kept: str
    reason: str
    selection: float | None
    candidates: Mapping[str, float]
    hyperparameters: Mapping[str, Any]
    test: Evaluation | None
    baseline: Evaluation | None
    seconds: float
    by_source: Mapping[str, Evaluation] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, repr=False)
class TrainResult:
    """A finished training: every seed's result, which was best, and what was published."""

    plan: "Plan"
    seeds: tuple[SeedResult, ...]
    best: SeedResult
    folder: Path
    report: Path
    version: "Version | None"

    def __repr__(self) -> str:
        name = str(self.version) if self.version else "unpublished"
        return f"<TrainResult {name}: {counted(len(self.seeds), 'seed')}, report {self.report}>"

    def over_seeds(self, metric: str) -> tuple[float, tuple[float, float] | None] | None:
        """Return a test metric's mean over seeds and its 95 % interval; None without test rows."""
        return over_seeds(self.seeds, metric)

    def to_json(self) -> dict[str, Any]:
        """Return everything a script would want to know."""
        return {
            "version": str(self.version) if self.version else None,
            "alias": self.plan.recipe.alias if self.version else None,
            "digest": self.version.digest if self.version else None,
            "published_seed": self.best.seed,
            "kept": self.best.kept,
            "reason": self.best.reason,
            "seeds": [asdict(result) for result in self.seeds],
            "over_seeds": self._summary(),
            "data": {"removed": self.plan.data.removed, **self.plan.data.report.to_json()},
            "folder": str(self.folder),
            "report": str(self.report),
        }

    def _summary(self) -> dict[str, Any]:
        if self.best.test is None:
            return {}
        names = [metric.name for metric in self.best.test.metrics]
        return {name: over_seeds(self.seeds, name) for name in names}


def over_seeds(
    seeds: tuple[SeedResult, ...], metric: str
) -> tuple[float, tuple[float, float] | None] | None:
    """Return a test metric's mean over seeds and its 95 % interval; None without test rows."""
    found = [result.test.find(metric) for result in seeds if result.test]
    values = [one.value for one in found if one]
    return mean_interval(values) if values else None
