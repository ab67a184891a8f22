"""A stranger's composition: the label that most of the members answer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.protocols import Members, Scorer
from adapterhub_lite.scoring import ProbabilityScorer
from adapterhub_lite.specs import CompositionSpec, Params


class VoteParams(Params):
    """How sure a member has to be."""

    quorum: float = 0.0


@hookimpl
def adapterhub_compositions() -> Iterator[CompositionSpec]:
    """Offer ``vote``."""
    yield CompositionSpec(
        name="vote",
        summary="The label that most of the members answer.",
        implementation="tests.unit.composition.strangers:Vote",
        result="answers",
        params=VoteParams,
        members=(3, 4),
    )


@dataclass
class Votes(ProbabilityScorer):
    """Counts the labels that scorers answer."""

    scorers: list[Any]
    classes: tuple[str, ...]
    multi_label: bool = False
    threshold: float = 0.5

    def predict_proba(
        self, texts: Sequence[Any], progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float64]:
        """Return each label's share of the votes."""
        answers = [scorer.predict_proba(texts).argmax(1) for scorer in self.scorers]
        return np.stack([np.mean([a == n for a in answers], axis=0) for n in range(3)], axis=1)


class Vote:
    """Lets at least three members vote."""

    def check(self, members: Members, params: VoteParams) -> Sequence[str]:
        """Refuse members of other labels."""
        labels = {member.head.labels for member in members.all}
        return ["they have different labels"] if len(labels) > 1 else []

    def load(self, members: Members, params: VoteParams) -> Scorer:
        """Return what counts the votes."""
        scorers = [members.scorer(member) for member in members.all]
        return Votes(scorers, scorers[0].classes)
