"""A loaded version that answers."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from adapterhub_lite.data.inputs import normalise_input, words_of
from adapterhub_lite.data.table import RowSet
from adapterhub_lite.errors import CapabilityError, UnknownNameError
from adapterhub_lite.inference.similarity import pairs_to_texts, texts_to_pairs
from adapterhub_lite.predictions import Classified, Generated, Prediction, Tagged, Valued
from adapterhub_lite.protocols import (
    EmbeddingScorer,
    GenerationOptions,
    Scorer,
    WritingScorer,
)
from adapterhub_lite.scoring import ProbabilityScorer, Scored
from adapterhub_lite.specs import RowKind, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Progress = Callable[[int], None]
Options = Sequence[GenerationOptions | None]


class Predictor:
    """Answers inputs of one task; ``name`` is the version or folder it was loaded from.

    An input is a text, or what the task takes: a pair of texts (with ``pairs``), a question and its
    context, a list of words or of chat messages. It is asked in the form that training normalised
    its rows to, and given back as it was. A composition's ``members`` can be asked alone.
    """

    def __init__(
        self,
        scorer: Scorer,
        name: str,
        task: Task,
        rows_kind: RowKind,
        *,
        pairs: bool = True,
        members: "Mapping[str, Callable[[], Predictor]] | None" = None,
    ) -> None:
        self._scorer = scorer
        self._writer = scorer if isinstance(scorer, WritingScorer) else None
        self._pairs = pairs
        self._members = members or {}
        self.name = name
        self.task: Task = task
        self.rows_kind: RowKind = rows_kind

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
        return tuple(self._members)

    def member(self, name: str) -> "Predictor":
        """Return the predictor of one of :attr:`members`: it answers as that adapter alone.

        Raises UnknownNameError, with the nearest name, or CapabilityError for no composition.
        """
        if not self._members:
            raise CapabilityError(
                f"{self.name} is one model: it has no members to choose from",
                hint="compositions by switch, route and stack have (see: ahl show)",
            )
        if name not in self._members:
            raise UnknownNameError("member", name, self._members)
        return self._members[name]()

    def predict(
        self,
        inputs: Sequence[Any],
        progress: Progress | None = None,
        options: Options | None = None,
    ) -> list[Prediction]:
        """Return a prediction for each input, in order; they are batched by length inside.

        A text that is asked of a chat model is one turn of the user; a model that learnt plain
        prompts goes on from it as it stands. A pair asked of an embedding model is compared.
        ``options``, one an input, say how texts are generated: each is then written as if it were
        asked alone. Raises TypeError for an input that the task does not take, CapabilityError for
        options of a model that writes no text.
        """
        self.require_fitting(options or ())
        asked = self.prepared(inputs)
        if self.task == "sentence-similarity":
            found = self._scorer.predict(asked, _up_to(len(inputs), progress))
        elif options is not None and self._writer is not None:
            found = self._writer.write(asked, options, progress)
        else:
            found = self._predict(asked, progress)
        return self.presented(inputs, found)

    def stream(
        self, asked: Any, options: GenerationOptions | None = None
    ) -> Generator[str, None, Generated]:
        """Yield the pieces of a text as they are made, joined what ``predict`` gives; return that.

        A reader that stops reading ends the text. Raises CapabilityError for a model that writes
        no text piece by piece, TypeError as :meth:`predict`.
        """
        if self._writer is None:
            raise CapabilityError(
                f"{self.name} writes no text piece by piece: its task is {self.task}",
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
                f"{self.name} gives no embeddings: its task is {self.task}", hint="use predict"
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
        if self.task == "sentence-similarity":
            return pairs_to_texts(asked)
        if self._writer is not None and self._writer.chats:
            return [_as_turn(one) if isinstance(one, str) else one for one in asked]
        return asked

    def presented(self, inputs: Sequence[Any], found: Sequence[Prediction]) -> list[Prediction]:
        """Return the scorer's answers to :meth:`prepared` inputs as answers to ``inputs``."""
        if self.task == "sentence-similarity":
            return texts_to_pairs(inputs, found)
        return [_as_given(one, given) for one, given in zip(found, inputs, strict=True)]

    def require_fitting(self, options: Options) -> None:
        """Raise CapabilityError where one says how to write, and the model writes no text."""
        if any(options) and self._writer is None:
            raise CapabilityError(
                f"{self.name} takes no generation options: its task is {self.task}",
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
                f"{self.name} has no class probabilities: its task is {self.task}",
                hint="use predict",
            )
        return self._scorer.predict_proba(self._normalised(inputs), progress)

    def score(self, rows: RowSet, progress: Progress | None = None) -> Scored:
        """Answer rows whose truth is known, for metrics."""
        return self._scorer.score(rows, progress)

    def _predict(self, asked: Sequence[Any], progress: Progress | None) -> list[Prediction]:
        says = self._writer is not None  # whether it chats
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
        return [self._normalised_one(number, item) for number, item in enumerate(inputs)]

    def _normalised_one(self, number: int, item: Any) -> Any:
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
        case _:
            return prediction
