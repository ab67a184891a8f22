"""my-plugin: a composition that answers with the mean of its members' probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.scoring import ProbabilityScorer
from adapterhub_lite.specs import CompositionSpec, NoParams, Params

if TYPE_CHECKING:
    from adapterhub_lite.protocols import Members
    from adapterhub_lite.scoring import Floats


class MeanMember(Params):
    """What a recipe may say of each member."""

    weight: float = Field(default=1.0, gt=0, description="How much this member's answer counts")


@hookimpl
def adapterhub_compositions() -> Iterable[CompositionSpec]:
    """Offer the composition: its members are asked alone, and one answer is made of theirs."""
    yield CompositionSpec(
        name="my-composition",
        summary="The mean of the members' probabilities.",
        implementation="my_plugin:MyComposition",
        result="answers",
        member_params=MeanMember,
    )


@dataclass(frozen=True)
class MeanClassifier(ProbabilityScorer):
    """Classifiers with the same labels, and the weights of their answers."""

    scorers: Sequence[ProbabilityScorer]
    weights: Sequence[float]

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, which all members have."""
        return self.scorers[0].classes

    @property
    def multi_label(self) -> bool:
        """Whether a text may get several labels."""
        return self.scorers[0].multi_label

    @property
    def threshold(self) -> float:
        """The probability from which a label counts."""
        return self.scorers[0].threshold

    def predict_proba(
        self, texts: Sequence[Any], progress: Callable[[int], None] | None = None
    ) -> Floats:
        """Return probabilities (texts, classes)."""
        import numpy as np

        found = [scorer.predict_proba(texts) for scorer in self.scorers]
        if progress is not None:
            progress(len(texts))
        mean: Floats = np.average(found, axis=0, weights=self.weights)
        return mean


class MyComposition:
    """Asks every member, and takes the mean."""

    def check(self, members: Members, params: NoParams) -> Sequence[str]:
        """Refuse other tasks than classification, and members with other labels."""
        first = members.all[0]
        for member in members.all:
            if member.task != "text-classification":
                return [f"{member.name} does {member.task}, and has no probabilities of labels"]
            if member.head.labels != first.head.labels:
                return [f"{first.name} and {member.name} have different labels"]
        return []

    def load(self, members: Members, params: NoParams) -> MeanClassifier:
        """Load all members; what they share of the base is held once."""
        scorers = [members.scorer(member) for member in members.all]
        known = [scorer for scorer in scorers if isinstance(scorer, ProbabilityScorer)]
        assert len(known) == len(scorers), "classifiers have probabilities"
        return MeanClassifier(known, [member.params.weight for member in members.all])
