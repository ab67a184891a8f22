"""Each input goes to one member, chosen by the words in it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from adapterhub_lite.data.table import RowSet
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.predictions import Prediction
from adapterhub_lite.protocols import Member, Members, Scorer
from adapterhub_lite.scoring import ProbabilityScorer, Scored
from adapterhub_lite.specs import NoParams

if TYPE_CHECKING:
    from numpy.typing import NDArray

Progress = Callable[[int], None]
Choose = Callable[[Any], int]
"""From an input to the number of the member that answers it."""


class Route:
    """Asks the first member of whose words one is in the text, else the one named as head."""

    def check(self, members: Members, params: NoParams) -> Sequence[str]:
        """Return what speaks against members that are chosen between input by input."""
        first = members.all[0]
        if first.task == "sentence-similarity":
            return ["embeddings of different adapters cannot be compared with each other"]
        for member in members.all:
            if (member.task, member.objective.rows) != (first.task, first.objective.rows):
                return [f"{first.name} does {first.task} and {member.name} {member.task}"]
            if member.head.problem != first.head.problem:
                return [f"texts have one label in {first.name} or {member.name}, and several not"]
        silent = [m.name for m in members.all if not m.params.words and m.name != members.head]
        return [f"{silent[0]} has no words, and would never be asked"] if silent else []

    def load(self, members: Members, params: NoParams) -> Scorer:
        """Load all members, and return what sends each input to one."""
        choose = by_words(members.all, _default(members))
        scorers = [members.scorer(member) for member in members.all]
        kinds = [scorer for scorer in scorers if isinstance(scorer, ProbabilityScorer)]
        if len(kinds) < len(scorers):
            return Routed(scorers, choose)
        if kinds[0].multi_label and len({scorer.threshold for scorer in kinds}) > 1:
            raise CapabilityError(
                "the members have different thresholds", hint="compose them by switch"
            )
        return RoutedClassifier(kinds, choose)


def _default(members: Members) -> int:
    return [member.name for member in members.all].index(str(members.head))


def by_words(members: Sequence[Member], default: int) -> Choose:
    """Return the rule: the first member of whose words one stands in the text, whole; any case."""
    patterns = [
        re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in words), re.IGNORECASE)
        if (words := member.params.words)
        else None
        for member in members
    ]

    def choose(item: Any) -> int:
        text = text_of(item)
        found = (number for number, p in enumerate(patterns) if p is not None and p.search(text))
        return next(found, default)

    return choose


def text_of(item: Any) -> str:
    """Return an input's text: of several texts all, of messages the user's last."""
    if isinstance(item, str):
        return item
    if all(isinstance(part, str) for part in item):
        return " ".join(item)
    asked = [message for message in item if message.get("role") == "user"] or list(item)
    return str(asked[-1].get("content") or "")


def _groups(inputs: Sequence[Any], choose: Choose) -> Mapping[int, list[int]]:
    """Return, by the number of a member, the places of the inputs that it answers."""
    groups: dict[int, list[int]] = {}
    for place, item in enumerate(inputs):
        groups.setdefault(choose(item), []).append(place)
    return groups


def _from(done: int, progress: Progress | None) -> Progress | None:
    """Let a member's count go on from what others have done."""
    return None if progress is None else lambda count: progress(done + count)


@dataclass
class Routed:
    """Members that are asked each what goes to it."""

    scorers: Sequence[Scorer]
    choose: Choose

    @property
    def classes(self) -> tuple[str, ...]:
        """Every label of any member, in the members' order."""
        return tuple(dict.fromkeys(label for one in self.scorers for label in one.classes))

    def predict(self, inputs: Sequence[Any], progress: Progress | None = None) -> list[Prediction]:
        """Answer each input by its member, in the order of the inputs."""
        answers: dict[int, Prediction] = {}
        for number, places in _groups(inputs, self.choose).items():
            asked = [inputs[place] for place in places]
            given = self.scorers[number].predict(asked, _from(len(answers), progress))
            answers |= dict(zip(places, given, strict=True))
        return [answers[place] for place in range(len(inputs))]

    def score(self, rows: RowSet, progress: Progress | None = None) -> Scored:
        """Answer each row by its member; the arrays are as one scorer's."""
        parts: list[tuple[list[int], Scored]] = []
        done = 0
        for number, places in _groups(rows.inputs, self.choose).items():
            some = rows.select(places)
            parts.append((places, self.scorers[number].score(some, _from(done, progress))))
            done += len(places)
        return Scored(
            _joined([(places, scored.truth) for places, scored in parts]),
            _joined([(places, scored.decision) for places, scored in parts]),
            _joined([(places, scored.scores) for places, scored in parts]),
        )


def _joined(parts: "Sequence[tuple[list[int], NDArray[Any]]]") -> "NDArray[Any]":
    """Return rows of several arrays at their places."""
    first = parts[0][1]
    whole = np.empty((sum(len(places) for places, _ in parts), *first.shape[1:]), first.dtype)
    for places, rows in parts:
        whole[places] = rows
    return whole


@dataclass
class RoutedClassifier(ProbabilityScorer):
    """Classifiers that are asked each what goes to it; labels that one does not know have 0."""

    scorers: Sequence[ProbabilityScorer]
    choose: Choose

    @property
    def classes(self) -> tuple[str, ...]:
        """Every label of any member, in the members' order."""
        return tuple(dict.fromkeys(label for one in self.scorers for label in one.classes))

    @property
    def multi_label(self) -> bool:
        """Whether a text may get several labels; the same for all members."""
        return self.scorers[0].multi_label

    @property
    def threshold(self) -> float:
        """The probability from which a label counts, where a text may get several."""
        return self.scorers[0].threshold

    def predict_proba(
        self, texts: Sequence[Any], progress: Progress | None = None
    ) -> "NDArray[np.float64]":
        """Return probabilities, shape ``(len(texts), len(classes))``."""
        column = {label: number for number, label in enumerate(self.classes)}
        found = np.zeros((len(texts), len(column)))
        done = 0
        for number, places in _groups(texts, self.choose).items():
            scorer = self.scorers[number]
            asked = [texts[place] for place in places]
            own = scorer.predict_proba(asked, _from(done, progress))
            found[np.ix_(places, [column[label] for label in scorer.classes])] = own
            done += len(places)
        return found
