"""A loaded version that answers."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from adapterhub_lite.data.inputs import normalise_input, words_of
from adapterhub_lite.data.table import RowSet
from adapterhub_lite.errors import CapabilityError, DataError
from adapterhub_lite.inference.artifact import HAVE_MEMBERS
from adapterhub_lite.inference.similarity import pairs_to_texts, texts_to_pairs
from adapterhub_lite.predictions import (
    Classified,
    Generated,
    Prediction,
    Several,
    Tagged,
    Valued,
)
from adapterhub_lite.protocols import (
    EmbeddingScorer,
    GenerationOptions,
    Scorer,
    WritingScorer,
)
from adapterhub_lite.scoring import ProbabilityScorer, Scored
from adapterhub_lite.specs import Answered, RowKind, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Progress = Callable[[int], None]
Options = Sequence[GenerationOptions | None]


class AskedMembers(Protocol):
    """A composition's members, each of which can be asked by its name, or by ``outer/inner``."""

    @property
    def names(self) -> tuple[str, ...]:
        """The members' names, in their order."""

    def alone(self, path: str) -> "Predictor":
        """Return a member's predictor; raises UnknownNameError, with the nearest name."""

    def answer(
        self,
        paths: Sequence[str],
        inputs: Sequence[Any],
        options: Options,
        progress: Progress | None = None,
    ) -> list[Prediction]:
        """Answer each input by the member of its path; rows share passes where they can."""


class Predictor:
    """Answers inputs of one task; ``name`` is the version or folder it was loaded from.

    An input is a text, or what the task takes: a pair of texts (with ``pairs``), a question and its
    context, a list of words or of chat messages. It is asked in the form that training normalised
    its rows to, and given back as it was. A composition's ``members`` can be asked alone.
    ``answers`` is its task, or tells that it gives each member's answer.
    """

    def __init__(
        self,
        scorer: Scorer,
        name: str,
        task: Answered,
        rows_kind: RowKind,
        *,
        pairs: bool = True,
        members: AskedMembers | None = None,
    ) -> None:
        self._scorer = scorer
        self._writer = scorer if isinstance(scorer, WritingScorer) else None
        self._pairs = pairs
        self._members = members
        self.name = name
        self.answers: Answered = task
        self.rows_kind: RowKind = rows_kind

    @property
    def task(self) -> Task:
        """What it does; raises CapabilityError where members answer each input, each by its own."""
        if self.answers == "several-answers":
            names = ", ".join(self.members)
            raise CapabilityError(
                f"{self.name} has no one task: every member answers by its own",
                hint=f"choose a member (--member): {names}",
            )
        return self.answers

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, in the order of the columns of :meth:`predict_proba`; often none."""
        return self._scorer.classes

    @property
    def multi_label(self) -> bool:
        """Whether a text may get several labels."""
        return isinstance(self._scorer, ProbabilityScorer) and self._scorer.multi_label

    @property
    def members(self) -> tuple[str, ...]:
        """The names of a composition's members; of any other version none."""
        return self._members.names if self._members else ()

    def member(self, name: str) -> "Predictor":
        """Return the predictor of one of :attr:`members`, which answers as it does alone.

        A member's member is called ``outer/inner``. Raises UnknownNameError, with the nearest name,
        or CapabilityError for no composition.
        """
        return self._composed().alone(name)

    def _composed(self) -> AskedMembers:
        if self._members is None:
            raise CapabilityError(
                f"{self.name} is one model: it has no members to choose from", hint=HAVE_MEMBERS
            )
        return self._members

    def predict(
        self,
        inputs: Sequence[Any],
        progress: Progress | None = None,
        options: Options | None = None,
        *,
        members: Sequence[str | None] | None = None,
    ) -> list[Prediction]:
        """Return a prediction for each input, in order; they are batched by length inside.

        A text that is asked of a chat model is one turn of the user; a model that learnt plain
        prompts goes on from it as it stands. A pair asked of an embedding model is compared.
        ``options``, one an input, say how texts are generated: each is then written as if it were
        asked alone. Of a composition ``members``, one an input, name who answers it, and None
        leaves it to the composition; members whose methods share a pass answer in one.

        Raises TypeError for an input that the task does not take, CapabilityError for options of a
        model that writes no text and for members of no composition, UnknownNameError for a member
        that is not there, DataError where there are not as many members as inputs.
        """
        if members is not None:
            return self._predict_by(members, inputs, options or [None] * len(inputs), progress)
        self.require_fitting(options or ())
        asked = self.prepared(inputs)
        if self.answers == "sentence-similarity":
            found = self._scorer.predict(asked, _up_to(len(inputs), progress))
        elif options is not None and self._writer is not None:
            found = self._writer.write(asked, options, progress)
        else:
            found = self._predict(asked, progress)
        return self.presented(inputs, found)

    def _predict_by(
        self,
        members: Sequence[str | None],
        inputs: Sequence[Any],
        options: Options,
        progress: Progress | None,
    ) -> list[Prediction]:
        if len(members) != len(inputs):
            raise DataError(f"{len(members)} members are named for {len(inputs)} inputs")
        named = [(place, name) for place, name in enumerate(members) if name is not None]
        rest = [place for place, name in enumerate(members) if name is None]
        places = [place for place, _ in named]
        answers = self._composed().answer(
            [name for _, name in named],
            [inputs[place] for place in places],
            [options[place] for place in places],
            progress,
        )
        if rest:
            own = [options[place] for place in rest]
            answers += self.predict(
                [inputs[place] for place in rest],
                None if progress is None else lambda done: progress(len(places) + done),
                own if any(own) else None,
            )
        by_place = dict(zip([*places, *rest], answers, strict=True))
        return [by_place[place] for place in range(len(inputs))]

    def stream(
        self, asked: Any, options: GenerationOptions | None = None
    ) -> Generator[str, None, Generated]:
        """Yield the pieces of a text as they are made, joined what ``predict`` gives; return that.

        A reader that stops reading ends the text. Raises CapabilityError for a model that writes
        no text piece by piece, TypeError as :meth:`predict`.
        """
        if self._writer is None:
            raise CapabilityError(
                f"{self.name} writes no text piece by piece: its task is {self.answers}",
                hint="use predict",
            )
        (prompt,) = self.prepared([asked])
        return self._writer.stream(prompt, options)

    def embed(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> "NDArray[np.float64]":
        """Return embeddings (texts, width), of unit length.

        Raises CapabilityError for a model that gives none, TypeError for what is no text.
        """
        if not isinstance(self._scorer, EmbeddingScorer):
            raise CapabilityError(
                f"{self.name} gives no embeddings: its task is {self.answers}", hint="use predict"
            )
        asked = self._normalised(texts)
        if not all(isinstance(text, str) for text in asked):
            raise TypeError("embed takes texts, and no pairs of them")
        found: NDArray[np.float64] = self._scorer.embed(asked, progress)
        return found

    @property
    def scorer(self) -> Scorer:
        """What answers prepared inputs."""
        return self._scorer

    def prepared(self, inputs: Sequence[Any]) -> list[Any]:
        """Return inputs as the scorer reads them: normalised, and of pairs to compare each text.

        Raises TypeError or CapabilityError for an input that the model does not take.
        """
        asked = self._normalised(inputs)
        if self.answers == "sentence-similarity":
            return pairs_to_texts(asked)
        if self._writer is not None and self._writer.chats:
            return [_as_turn(one) if isinstance(one, str) else one for one in asked]
        return asked

    def presented(self, inputs: Sequence[Any], found: Sequence[Prediction]) -> list[Prediction]:
        """Return the scorer's answers to :meth:`prepared` inputs as answers to ``inputs``."""
        if self.answers == "sentence-similarity":
            return texts_to_pairs(inputs, found)
        return [_as_given(one, given) for one, given in zip(found, inputs, strict=True)]

    def require_fitting(self, options: Options) -> None:
        """Raise CapabilityError where one says how to write, and the model writes no text."""
        if any(options) and self._writer is None:
            raise CapabilityError(
                f"{self.name} takes no generation options: its task is {self.answers}",
                hint="leave them out",
            )

    def predict_proba(
        self, inputs: Sequence[Any], progress: Progress | None = None
    ) -> "NDArray[np.float64]":
        """Return probabilities (texts, classes); ``progress`` is called with texts done.

        Raises CapabilityError for a model that is no classifier.
        """
        if not isinstance(self._scorer, ProbabilityScorer):
            raise CapabilityError(
                f"{self.name} has no class probabilities: its task is {self.answers}",
                hint="use predict",
            )
        return self._scorer.predict_proba(self._normalised(inputs), progress)

    def score(self, rows: RowSet, progress: Progress | None = None) -> Scored:
        """Answer rows whose truth is known, for metrics."""
        return self._scorer.score(rows, progress)

    def _predict(self, asked: Sequence[Any], progress: Progress | None) -> list[Prediction]:
        says = self._writer is not None or self.answers == "several-answers"  # whether it chats
        if not says and self.rows_kind == "dialogue" and any(isinstance(one, str) for one in asked):
            turns = [_as_turn(one) if isinstance(one, str) else one for one in asked]
            try:
                return self._scorer.predict(turns, progress)
            except CapabilityError:
                pass  # it learnt plain prompts, and refuses messages before anything is computed
        return self._scorer.predict(asked, progress)

    def _normalised(self, inputs: Sequence[Any]) -> list[Any]:
        if isinstance(inputs, str):
            raise TypeError("predict takes a list of texts, or other inputs, not one text")
        return [self.normalised(number, item) for number, item in enumerate(inputs)]

    def normalised(self, number: int, item: Any) -> Any:
        """Return an input as training normalised its rows; raises as :meth:`prepared`."""
        try:
            asked = normalise_input(self.rows_kind, item)
        except TypeError as error:
            raise TypeError(f"input {number} is {error}") from None
        reads_one = self.rows_kind in ("labelled-text", "valued-text") and not self._pairs
        if reads_one and not isinstance(asked, str):
            raise CapabilityError(
                f"{self.name} reads one text, and input {number} is a pair",
                hint="ask it with texts",
            )
        return asked


def _up_to(most: int, progress: Progress | None) -> Progress | None:
    """Count the two texts of a pair no further than the inputs, so that a bar does not run over."""
    return None if progress is None else lambda done: progress(min(done, most))


def _as_turn(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def _as_given(prediction: Prediction, given: Any) -> Prediction:
    """Put what was asked back as it was given: only the model needs it in another form."""
    match prediction:
        case Classified() | Valued():
            return replace(prediction, text=given if isinstance(given, str) else tuple(given))
        case Tagged():
            return replace(prediction, words=words_of(given))
        case Generated():
            return replace(prediction, prompt=given)
        case Several():
            answers = {name: _as_given(one, given) for name, one in prediction.answers.items()}
            return Several(given, answers)
        case _:
            return prediction
