"""my-plugin's answer is the weighted mean of its members' answers."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from my_plugin import MeanClassifier

from adapterhub_lite.scoring import ProbabilityScorer


@dataclass(frozen=True)
class Sure(ProbabilityScorer):
    """Answers every text with one label."""

    label: str
    classes: tuple[str, ...] = ("card", "refund")
    multi_label: bool = False
    threshold: float = 0.5

    def predict_proba(self, texts: Any, progress: Any = None) -> Any:
        """Return 1 for the label."""
        return np.array([[float(name == self.label) for name in self.classes]] * len(texts))


def test_the_answer_is_the_weighted_mean() -> None:
    both = MeanClassifier([Sure("card"), Sure("refund")], [3.0, 1.0])
    assert both.predict_proba(["a", "b"]).tolist() == [[0.75, 0.25], [0.75, 0.25]]
    assert [answer.summary() for answer in both.predict(["a"])] == ["card"]
