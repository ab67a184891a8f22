"""All members answer each input: several answers, or the mean of their probabilities."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapterhub_lite.data.table import RowSet
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.predictions import Classified, Prediction, Several
from adapterhub_lite.protocols import Interface, Member, Members, Scorer
from adapterhub_lite.scoring import ProbabilityScorer, Scored
from adapterhub_lite.specs import Head
from adapterhub_lite_compositions import ParallelParams

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Progress = Callable[[int], None]


class Parallel:
    """Asks every member each input; rows of members whose methods share a pass go in one."""

    def check(self, members: Members, params: ParallelParams) -> Sequence[str]:
        """Return what speaks against asking all of them the same."""
        if params.answer == "mean":
            return _against_mean(members.all)
        if weighted := [member.name for member in members.all if member.params.weight != 1]:
            return [f"{weighted[0]} has a weight, and only a mean is weighted (answer: mean)"]
        return _against_one_input(members.all)

    def interface(self, members: Members, params: ParallelParams) -> Interface:
        """Return what all members take: where they read rows of different kinds, one text."""
        first = members.all[0]
        pairs = all(member.pairs for member in members.all)
        if params.answer == "mean":
            return Interface(task=first.task, rows=first.rows, pairs=pairs, head=first.head)
        labels = tuple(dict.fromkeys(label for one in members.all for label in one.head.labels))
        same = len({member.rows for member in members.all}) == 1
        return Interface(
            task="several-answers",
            rows=first.rows if same else "document",
            pairs=pairs and same,
            head=Head(labels=labels),
        )

    def load(self, members: Members, params: ParallelParams) -> Scorer:
        """Return what asks all members."""
        if params.answer == "each":
            return Each(members)
        scorers = [members.scorer(member) for member in members.all]
        known = [scorer for scorer in scorers if isinstance(scorer, ProbabilityScorer)]
        assert len(known) == len(scorers), "classifiers have probabilities"
        first = known[0]
        for member, scorer in zip(members.all, known, strict=True):
            if _decision(scorer) != _decision(first):
                raise CapabilityError(
                    f"{members.all[0].name} and {member.name} decide differently: one label or "
                    "several, among others, or by another threshold",
                    hint="let each answer for itself: answer: each",
                )
        return Mean(members, first.classes, first.multi_label, first.threshold)


def _decision(scorer: ProbabilityScorer) -> tuple[tuple[str, ...], float | None]:
    return scorer.classes, scorer.threshold if scorer.multi_label else None


def _against_mean(members: Sequence[Member]) -> Sequence[str]:
    first = members[0]
    for member in members:
        if member.task != "text-classification":
            return [f"{member.name} does {member.task}, and has no probabilities of labels"]
        if member.head.labels != first.head.labels:
            return [f"{first.name} and {member.name} have different labels, which have no mean"]
    return []


def _against_one_input(members: Sequence[Member]) -> Sequence[str]:
    """Return what speaks against one input for all: a text asks any but a question's reader."""
    asking = [member for member in members if member.rows == "question"]
    others = [member for member in members if member.rows != "question"]
    if asking and others:
        return [
            f"{asking[0].name} is asked a question about a context, and {others[0].name} a text"
        ]
    return []


def _answers(
    members: Members, inputs: Sequence[Any], progress: Progress | None
) -> list[dict[str, Prediction]]:
    """Return for each input what every member answers it."""
    number = len(members.all)
    asked = [(member, item) for member in members.all for item in inputs]
    told = None if progress is None else lambda done: progress(done // number)
    found = members.predict(asked, told)
    rows = len(inputs)
    return [
        {m.name: found[part * rows + row] for part, m in enumerate(members.all)}
        for row in range(rows)
    ]


@dataclass(frozen=True)
class Each:
    """Answers with what every member answers."""

    members: Members

    @property
    def classes(self) -> tuple[str, ...]:
        """Every label of any member, in the members' order."""
        labels = (label for member in self.members.all for label in member.head.labels)
        return tuple(dict.fromkeys(labels))

    def predict(self, inputs: Sequence[Any], progress: Progress | None = None) -> list[Prediction]:
        """Return the answers of all members to each input."""
        found = _answers(self.members, inputs, progress)
        return [Several(item, answers) for item, answers in zip(inputs, found, strict=True)]

    def score(self, rows: RowSet, progress: Progress | None = None) -> Scored:
        """Refuse: there is no one decision that could be right or wrong."""
        names = [member.name for member in self.members.all]
        raise CapabilityError(
            "every member has its own answer, and rows have one truth",
            hint=f"score a member: {', '.join(names)}",
        )


@dataclass(frozen=True)
class Mean(ProbabilityScorer):
    """Answers with the weighted mean of the members' probabilities."""

    members: Members
    classes: tuple[str, ...]
    multi_label: bool
    threshold: float

    def predict_proba(
        self, texts: Sequence[Any], progress: Progress | None = None
    ) -> "NDArray[np.float64]":
        """Return probabilities, shape ``(len(texts), len(classes))``."""
        import numpy as np

        found = np.zeros((len(texts), len(self.members.all), len(self.classes)))
        for row, answers in enumerate(_answers(self.members, texts, progress)):
            for column, answer in enumerate(answers.values()):
                assert isinstance(answer, Classified), "classifiers answer with labels"
                found[row, column] = [answer.probabilities[label] for label in self.classes]
        weights = [member.params.weight for member in self.members.all]
        mean: NDArray[np.float64] = np.average(found, axis=1, weights=weights)
        return mean
