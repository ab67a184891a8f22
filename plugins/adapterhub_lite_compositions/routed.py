"""Scorers of several members that answer as one: each input is asked of the member it goes to."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from adapterhub_lite.data.table import RowSet
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.predictions import Generated, Prediction
from adapterhub_lite.protocols import GenerationOptions, Scorer, WritingScorer
from adapterhub_lite.scoring import ProbabilityScorer, Scored
from adapterhub_lite_compositions.rules import Rule

if TYPE_CHECKING:
    from numpy.typing import NDArray

Progress = Callable[[int], None] | None


def routed(scorers: Sequence[Scorer], rule: Rule) -> Scorer:
    """Return the scorer that fits the members': of classifiers one, of writers one that writes.

    Raises CapabilityError for classifiers of several labels whose thresholds differ.
    """
    writers = [scorer for scorer in scorers if isinstance(scorer, WritingScorer)]
    if len(writers) == len(scorers):
        return RoutedWriter(writers, rule)
    kinds = [scorer for scorer in scorers if isinstance(scorer, ProbabilityScorer)]
    if len(kinds) < len(scorers):
        return Routed(scorers, rule)
    if kinds[0].multi_label and len({scorer.threshold for scorer in kinds}) > 1:
        raise CapabilityError(
            "the members have different thresholds", hint="compose them by switch"
        )
    return RoutedClassifier(kinds, rule)


def _groups(inputs: Sequence[Any], rule: Rule) -> Mapping[int, list[int]]:
    """Return, by the number of a member, the places of the inputs that it answers."""
    groups: dict[int, list[int]] = {}
    for place, number in enumerate(rule(inputs) if inputs else []):
        groups.setdefault(number, []).append(place)
    return groups


def _from(done: int, progress: Progress) -> Progress:
    """Let a member's count go on from what others have done."""
    return None if progress is None else lambda count: progress(done + count)


@dataclass
class Routed:
    """Members that are asked each what goes to it."""

    scorers: Sequence[Scorer]
    rule: Rule

    @property
    def classes(self) -> tuple[str, ...]:
        """Every label of any member, in the members' order."""
        return tuple(dict.fromkeys(label for one in self.scorers for label in one.classes))

    def predict(self, inputs: Sequence[Any], progress: Progress = None) -> list[Prediction]:
        """Answer each input by its member, in the order of the inputs."""

        def ask(number: int, places: list[int], progress: Progress) -> list[Prediction]:
            return self.scorers[number].predict([inputs[place] for place in places], progress)

        return self._each(inputs, ask, progress)

    def score(self, rows: RowSet, progress: Progress = None) -> Scored:
        """Answer each row by its member; the arrays are as one scorer's."""
        parts: list[tuple[list[int], Scored]] = []
        done = 0
        for number, places in _groups(rows.inputs, self.rule).items():
            some = rows.select(places)
            parts.append((places, self.scorers[number].score(some, _from(done, progress))))
            done += len(places)
        return Scored(
            _joined([(places, scored.truth) for places, scored in parts]),
            _joined([(places, scored.decision) for places, scored in parts]),
            _joined([(places, scored.scores) for places, scored in parts]),
        )

    def _each(
        self,
        inputs: Sequence[Any],
        ask: Callable[[int, list[int], Progress], list[Prediction]],
        progress: Progress,
    ) -> list[Prediction]:
        """Return the answers in the order of the inputs; ``ask`` gets a member and its places."""
        answers: dict[int, Prediction] = {}
        for number, places in _groups(inputs, self.rule).items():
            given = ask(number, places, _from(len(answers), progress))
            answers |= dict(zip(places, given, strict=True))
        return [answers[place] for place in range(len(inputs))]


def _joined(parts: "Sequence[tuple[list[int], NDArray[Any]]]") -> "NDArray[Any]":
    """Return rows of several arrays at their places."""
    first = parts[0][1]
    whole = np.empty((sum(len(places) for places, _ in parts), *first.shape[1:]), first.dtype)
    for places, rows in parts:
        whole[places] = rows
    return whole


@dataclass
class RoutedWriter(Routed):
    """Writers that are asked each what goes to it; of those that chat a text is asked as a turn."""

    scorers: Sequence[WritingScorer]

    @property
    def chats(self) -> bool:
        """Whether all members learnt to answer messages."""
        return all(scorer.chats for scorer in self.scorers)

    def predict(self, inputs: Sequence[Any], progress: Progress = None) -> list[Prediction]:
        """Write a text for each input, by its member."""

        def ask(number: int, places: list[int], progress: Progress) -> list[Prediction]:
            asked = [self._asked(number, inputs[place]) for place in places]
            return self.scorers[number].predict(asked, progress)

        return self._each(inputs, ask, progress)

    def write(
        self,
        inputs: Sequence[Any],
        options: Sequence[GenerationOptions | None],
        progress: Progress = None,
    ) -> list[Prediction]:
        """Write a text for each input, by its member and its own options."""

        def ask(number: int, places: list[int], progress: Progress) -> list[Prediction]:
            asked = [self._asked(number, inputs[place]) for place in places]
            own = [options[place] for place in places]
            return self.scorers[number].write(asked, own, progress)

        return self._each(inputs, ask, progress)

    def stream(
        self, asked: Any, options: GenerationOptions | None
    ) -> Generator[str, None, Generated]:
        """Yield the pieces of a text as its member makes them; return the whole."""
        (number,) = self.rule([asked])
        return self.scorers[number].stream(self._asked(number, asked), options)

    def _asked(self, number: int, item: Any) -> Any:
        """Return an input as the member takes it: beside members that do not chat texts come."""
        turn = isinstance(item, str) and self.scorers[number].chats
        return [{"role": "user", "content": item}] if turn else item


@dataclass
class RoutedClassifier(ProbabilityScorer):
    """Classifiers that are asked each what goes to it; labels that one does not know have 0."""

    scorers: Sequence[ProbabilityScorer]
    rule: Rule

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
        self, texts: Sequence[Any], progress: Progress = None
    ) -> "NDArray[np.float64]":
        """Return probabilities, shape ``(len(texts), len(classes))``."""
        column = {label: number for number, label in enumerate(self.classes)}
        found = np.zeros((len(texts), len(column)))
        done = 0
        for number, places in _groups(texts, self.rule).items():
            scorer = self.scorers[number]
            asked = [texts[place] for place in places]
            own = scorer.predict_proba(asked, _from(done, progress))
            found[np.ix_(places, [column[label] for label in scorer.classes])] = own
            done += len(places)
        return found
