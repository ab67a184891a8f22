"""Which evaluation was best, when to stop, and a sentence that says why."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from adapterhub_lite.finetuning.params import TrainerParams


@dataclass(slots=True)
class Watch:
    """Follows validation scores, of which greater is better; one that is NaN is worst.

    ``best`` is the highest score yet, ``metrics`` are that evaluation's, ``last`` the last one's.
    ``gained`` is the last score that beat its predecessor by more than ``min_delta``; ``waited``
    counts the evaluations since.
    """

    metric: str = ""
    best: float = -math.inf
    best_step: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    gained: float = -math.inf
    gained_step: int = 0
    waited: int = 0
    last: Mapping[str, float] = field(default_factory=dict)

    def evaluated(self, step: int, metrics: Mapping[str, float], min_delta: float) -> bool:
        """Take an evaluation in; return whether it is the best yet. The first always is."""
        self.metric, value = next(iter(metrics.items()))
        score = -math.inf if math.isnan(value) else value
        if not self.metrics or score > self.gained + min_delta:
            self.gained, self.gained_step, self.waited = score, step, 0
        else:
            self.waited += 1
        self.last = dict(metrics)
        if self.metrics and score <= self.best:
            return False
        self.best, self.best_step, self.metrics = score, step, dict(metrics)
        return True

    def out_of_patience(self, params: TrainerParams) -> bool:
        """Say whether to stop early."""
        return 0 < params.early_stopping <= self.waited

    def reason(self, params: TrainerParams, step: int, why_last: str) -> str:
        """Say why training ended after ``step`` and which weights were kept.

        ``why_last`` is why the last weights are kept whatever they score; empty if they are not.
        """
        ended = f"trained all {step} steps"
        if self.out_of_patience(params):
            gain = f"gain of {params.min_delta:g}" if params.min_delta else "gain"
            ended = (
                f"stopped at step {step}: no {gain} over {self.gained:.4g} "
                f"({self.metric}, step {self.gained_step}) for {_evaluations(self.waited)}"
            )
        if why_last:
            return f"{ended}; the last weights are kept, as {why_last}"
        if self.best_step == step:
            return f"{ended}; the last step scored best ({self.metric} {self.best:.4g})"
        return f"{ended}; step {self.best_step} restored ({self.metric} {self.best:.4g})"


def _evaluations(count: int) -> str:
    return f"{count} evaluation{'s' if count != 1 else ''}"
