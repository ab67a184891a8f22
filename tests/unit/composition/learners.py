"""A stranger's composition that learns: the member answers whose examples are about as long."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.predictions import Prediction
from adapterhub_lite.protocols import Learnt, Members, Scorer
from adapterhub_lite.specs import CompositionSpec, NoParams


@hookimpl
def adapterhub_compositions() -> Iterator[CompositionSpec]:
    """Offer ``by-length``."""
    yield CompositionSpec(
        name="by-length",
        summary="The member answers whose examples are about as long.",
        implementation="tests.unit.composition.learners:ByLength",
        result="answers",
        learns=True,
    )


@dataclass
class Nearest:
    """Asks the scorer whose length is nearest."""

    scorers: Sequence[Scorer]
    lengths: Sequence[float]
    classes: tuple[str, ...] = ()

    def predict(self, inputs: Sequence[Any], progress: Any = None) -> list[Prediction]:
        """Answer each input by its scorer."""
        nearest = [min(self.lengths, key=lambda own, t=text: abs(own - len(t))) for text in inputs]  # type: ignore[misc]
        chosen = [self.scorers[self.lengths.index(length)] for length in nearest]
        pairs = zip(chosen, inputs, strict=True)
        return [scorer.predict([text])[0] for scorer, text in pairs]

    def score(self, rows: Any, progress: Any = None) -> Any:
        """Not asked here."""
        raise NotImplementedError


class ByLength:
    """Keeps how long the examples of each member are."""

    def check(self, members: Members, params: NoParams) -> Sequence[str]:
        """Take all."""
        return []

    def needs_examples(self, params: NoParams) -> bool:
        """Always."""
        return True

    def check_examples(
        self, examples: Mapping[str, Sequence[Any]], params: NoParams
    ) -> Sequence[str]:
        """Refuse no examples at all."""
        return [f"{name} has none" for name, own in examples.items() if not own]

    def fit(
        self,
        members: Members,
        examples: Mapping[str, Sequence[Any]],
        params: NoParams,
        folder: Path,
    ) -> Learnt:
        """Write the mean lengths."""
        means = {name: sum(map(len, own)) / len(own) for name, own in examples.items()}
        (folder / "lengths.json").write_text(json.dumps(means))
        return Learnt(figures={"lengths": means}, lines=["lengths"], warnings=["believe nothing"])

    def load(self, members: Members, params: NoParams) -> Scorer:
        """Read them again."""
        assert members.files is not None, "it was made"
        means = json.loads((members.files / "lengths.json").read_text())
        scorers = [members.scorer(member) for member in members.all]
        return Nearest(scorers, [means[member.name] for member in members.all])
