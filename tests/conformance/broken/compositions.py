"""Compositions with one fault each; what is sound is a mean of probabilities, or one of ours."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.protocols import Learnt, LoadedBase, Members
from adapterhub_lite.scoring import ProbabilityScorer
from adapterhub_lite.specs import CompositionSpec
from adapterhub_lite_compositions.average import Average
from adapterhub_lite_compositions.stack import Stack
from tests.conformance.broken.entries import Broken

Floats = NDArray[np.float64]


@dataclass
class Mean(ProbabilityScorer):
    """Answers with the mean of what classifiers answer."""

    scorers: Sequence[Any]
    multi_label: bool = False
    threshold: float = 0.5

    @property
    def classes(self) -> tuple[str, ...]:
        found: tuple[str, ...] = self.scorers[0].classes
        return found

    def predict_proba(
        self, texts: Sequence[Any], progress: Callable[[int], None] | None = None
    ) -> Floats:
        found: Floats = np.mean([scorer.predict_proba(texts) for scorer in self.scorers], axis=0)
        return found


class Sound:
    """Asks all members."""

    scorer: type[Mean] = Mean

    def check(self, members: Members, params: Any) -> Sequence[str]:
        labels = {member.head.labels for member in members.all}
        tasks = {member.task for member in members.all}
        return ["they do not have the same labels"] if len(labels | tasks) > 2 else []

    def load(self, members: Members, params: Any) -> Any:
        return self.scorer([members.scorer(member) for member in members.all])


class RefusesAll(Sound):
    def check(self, members: Members, params: Any) -> Sequence[str]:
        return ["this version is for taggers"]


class Crashes(Sound):
    def check(self, members: Members, params: Any) -> Sequence[str]:
        for member in members.all:
            members.all[0].head.labels.index(member.head.labels[0])
        return []


class TakesAll(Sound):
    def check(self, members: Members, params: Any) -> Sequence[str]:
        return []


class CannotLoad(Sound):
    def load(self, members: Members, params: Any) -> Any:
        raise KeyError("weights")


class NoLoad:
    def check(self, members: Members, params: Any) -> Sequence[str]:
        return Sound().check(members, params)


class Pickles(Average):
    def write(self, members: Members, params: Any, folder: Path) -> None:
        super().write(members, params, folder)
        torch.save([member.name for member in members.all], folder / "members.bin")


class StacksOne(Stack):
    def load(self, members: Members, params: Any) -> LoadedBase:
        one = members.find(str(members.head))
        loaded: LoadedBase = members.method(one).load(members.base(one), one.folder)
        return loaded


class DrawsOnLoading(Sound):
    def load(self, members: Members, params: Any) -> Any:
        made = super().load(members, params)
        made.scorers = [made.scorers[0], Sharper(made.scorers[1], 1 + np.random.random())]
        return made


@dataclass
class Sharper:
    scorer: Any
    power: float

    def predict_proba(self, texts: Sequence[Any]) -> Floats:
        raised: Floats = self.scorer.predict_proba(texts) ** self.power
        return raised / raised.sum(1, keepdims=True)


class ByPlace(Mean):
    """Asks one member for the first half of a batch, and the next for the second."""

    def predict_proba(self, texts: Sequence[Any], progress: Any = None) -> Floats:
        half = len(texts) // 2
        parts = [texts[:half], texts[half:]]
        found = [s.predict_proba(part) for s, part in zip(self.scorers, parts, strict=True)]
        return np.concatenate(found)


class Halves(Sound):
    scorer = ByPlace


class OverTheBatch(Mean):
    def predict_proba(self, texts: Sequence[Any], progress: Any = None) -> Floats:
        found = super().predict_proba(texts)
        return found / found.max(initial=0.0)


class Compares(Sound):
    scorer = OverTheBatch


class WritesToMembers(Sound):
    def load(self, members: Members, params: Any) -> Any:
        (members.all[0].folder / "seen.json").write_text("{}")
        return super().load(members, params)


class ChangesMembers(Sound):
    def load(self, members: Members, params: Any) -> Any:
        made = super().load(members, params)
        for scorer in made.scorers:
            for value in scorer.model.parameters():
                value.data *= 0.9
        return made


class LeastLikely(Mean):
    def predict_proba(self, texts: Sequence[Any], progress: Any = None) -> Floats:
        return (1 - super().predict_proba(texts)) / (len(self.classes) - 1)


class Dissents(Sound):
    scorer = LeastLikely


class Forgetful(Sound):
    """Learns something else each time."""

    def needs_examples(self, params: Any) -> bool:
        return True

    def check_examples(self, examples: Any, params: Any) -> Sequence[str]:
        return []

    def fit(self, members: Members, examples: Any, params: Any, folder: Path) -> Learnt:
        (folder / "learnt.json").write_text(json.dumps(np.random.random()))
        return Learnt(figures={}, lines=["something"])


class AsksForMethods(Sound):
    """Goes by something that only adapters have."""

    def check(self, members: Members, params: Any) -> Sequence[str]:
        methods = {member.method.name for member in members.all}  # type: ignore[attr-defined]
        if len(methods) > 1:
            return ["they do not have the same method"]
        return super().check(members, params)


def _answering(fault: str, found: type, check: str, says: str, *also: str) -> Broken:
    spec = CompositionSpec(
        name="broken",
        summary="The mean of probabilities.",
        implementation=f"{__name__}:{found.__name__}",
        result="answers",
    )
    return Broken(fault=fault, kind="composition", spec=spec, check=check, says=says, also=also)


def _learning(fault: str, found: type, check: str, says: str) -> Broken:
    sound = _answering(fault, found, check, says)
    assert isinstance(sound.spec, CompositionSpec), "it was just made"
    return replace(sound, spec=replace(sound.spec, learns=True))


def _ours(
    fault: str, of: Literal["average", "stack"], found: type, check: str, says: str
) -> Broken:
    spec = replace(
        get_catalogue(first_party_only=True).composition(of),
        name="broken",
        implementation=f"{__name__}:{found.__name__}",
    )
    return Broken(fault=fault, kind="composition", spec=spec, check=check, says=says)


BROKEN = (
    _answering("refuses all members", RefusesAll, "check_takes_members", "for taggers"),
    _answering(
        "check() takes labels for granted",
        Crashes,
        "check_unsuitable_members_are_refused",
        "an adapter of other labels check() raises ValueError",
    ),
    _answering(
        "check() takes what cannot be asked",
        TakesAll,
        "check_unsuitable_members_are_refused",
        "nothing of an adapter of another task, and then it raises",
    ),
    _answering(
        "has no load()",
        NoLoad,
        "check_implementation_fits_the_protocol",
        "it has no load()",
        "check_composes",
    ),
    _answering("cannot load its members", CannotLoad, "check_composes", "raised KeyError"),
    _learning(
        "learns something else each time",
        Forgetful,
        "check_learns_the_same_each_time",
        "it writes other files than before",
    ),
    _ours("writes a pickle", "average", Pickles, "check_composes", "'members.bin'"),
    _ours(
        "leaves members out",
        "stack",
        StacksOne,
        "check_answers_as_its_reference",
        "differ from the members merged",
    ),
    _answering(
        "draws when it is loaded",
        DrawsOnLoading,
        "check_answers_alike_each_time",
        "is answered by",
    ),
    _answering(
        "goes by an input's place",
        Halves,
        "check_answers_each_input_in_order",
        "asked in the other order",
    ),
    _answering(
        "divides by the batch's largest", Compares, "check_company_does_not_matter", "beside others"
    ),
    _answering(
        "writes to its members' folders",
        WritesToMembers,
        "check_members_stay_as_they_are",
        "seen.json",
    ),
    _answering(
        "writes to its members' weights",
        ChangesMembers,
        "check_members_stay_as_they_are",
        "answers alone otherwise",
    ),
    _answering(
        "answers what no member answers",
        Dissents,
        "check_equal_members_answer_as_one",
        "and together they answer",
    ),
    _answering(
        "takes it that members are adapters",
        AsksForMethods,
        "check_members_may_be_compositions",
        "of a switch check() raises AttributeError",
    ),
)
