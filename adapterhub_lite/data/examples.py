"""Rows of every kind but labelled texts: what each holds, and a set of them.

Each kind of row says what it is known by (``key``: duplicates are found and rows are drawn by it),
what a model is asked with (``input``), what is true of it (``truth``), and how it is hashed
(``record``). Labelled texts, which the few-shot engine reads, are
:class:`~adapterhub_lite.data.table.TextSet`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

from adapterhub_lite.specs import RowKind

Role = Literal["system", "user", "assistant", "tool"]


class Example(Protocol):
    """One row, whatever its kind."""

    @property
    def key(self) -> str:
        """The text that the row is known by."""

    @property
    def input(self) -> Any:
        """What a model is asked with: text, or a tuple or list of texts."""

    @property
    def truth(self) -> Any:
        """What a right answer is."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that occur in the row; none in most kinds."""

    def record(self) -> list[Any]:
        """Return the row as JSON values."""


@dataclass(frozen=True, slots=True)
class TaggedWords:
    """Words, each with its tag (``B-PER``, ``O``; or plain tags such as ``NOUN``)."""

    words: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def key(self) -> str:
        """The words, joined."""
        return " ".join(self.words)

    @property
    def input(self) -> tuple[str, ...]:
        """The words."""
        return self.words

    @property
    def truth(self) -> tuple[str, ...]:
        """The tags."""
        return self.tags

    @property
    def labels(self) -> tuple[str, ...]:
        """The tags."""
        return self.tags

    def record(self) -> list[Any]:
        """Return words and tags."""
        return [list(self.words), list(self.tags)]


@dataclass(frozen=True, slots=True)
class ValuedText:
    """A text, or a pair of texts, with a number."""

    text: str
    value: float
    second: str | None = None

    @property
    def key(self) -> str:
        """The text, and the second below it."""
        return self.text if self.second is None else f"{self.text}\n{self.second}"

    @property
    def input(self) -> str | tuple[str, str]:
        """The text or the pair."""
        return self.text if self.second is None else (self.text, self.second)

    @property
    def truth(self) -> float:
        """The number."""
        return self.value

    @property
    def labels(self) -> tuple[str, ...]:
        """None."""
        return ()

    def record(self) -> list[Any]:
        """Return texts and number."""
        return [self.text, self.second, self.value]


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a context, with its answers; ``starts`` are offsets in the context.

    Several answers are wordings that are all right; none means that the context does not tell.
    """

    question: str
    context: str
    answers: tuple[str, ...]
    starts: tuple[int, ...]

    @property
    def key(self) -> str:
        """The question, and the context below it."""
        return f"{self.question}\n{self.context}"

    @property
    def input(self) -> tuple[str, str]:
        """The question and the context."""
        return self.question, self.context

    @property
    def truth(self) -> tuple[str, ...]:
        """The answers."""
        return self.answers

    @property
    def labels(self) -> tuple[str, ...]:
        """None."""
        return ()

    def record(self) -> list[Any]:
        """Return all four parts."""
        return [self.question, self.context, list(self.answers), list(self.starts)]


@dataclass(frozen=True, slots=True)
class Document:
    """Raw text, to model the language of."""

    text: str

    @property
    def key(self) -> str:
        """The text."""
        return self.text

    @property
    def input(self) -> str:
        """The text."""
        return self.text

    @property
    def truth(self) -> str:
        """The text itself: it is what has to be foretold."""
        return self.text

    @property
    def labels(self) -> tuple[str, ...]:
        """None."""
        return ()

    def record(self) -> list[Any]:
        """Return the text."""
        return [self.text]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str

    def as_dict(self) -> dict[str, str]:
        """Return it as a chat template reads it."""
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A conversation whose assistant turns are learnt.

    ``plain``: a prompt and its completion, to be joined as they stand, without a chat template.
    """

    messages: tuple[Message, ...]
    plain: bool = False

    @property
    def key(self) -> str:
        """The contents of all turns, one a line."""
        return "\n".join(message.content for message in self.messages)

    @property
    def input(self) -> str | list[dict[str, str]]:
        """The prompt, or the messages before the last answer."""
        before = self.messages[:-1]
        return before[0].content if self.plain else [message.as_dict() for message in before]

    @property
    def truth(self) -> str:
        """The last answer."""
        return self.messages[-1].content

    @property
    def labels(self) -> tuple[str, ...]:
        """None."""
        return ()

    def record(self) -> list[Any]:
        """Return the turns."""
        return [self.plain, [[message.role, message.content] for message in self.messages]]


@dataclass(frozen=True, slots=True)
class SourceTarget:
    """A text and what it is to be turned into: a summary, a translation."""

    source: str
    target: str

    @property
    def key(self) -> str:
        """The source."""
        return self.source

    @property
    def input(self) -> str:
        """The source."""
        return self.source

    @property
    def truth(self) -> str:
        """The target."""
        return self.target

    @property
    def labels(self) -> tuple[str, ...]:
        """None."""
        return ()

    def record(self) -> list[Any]:
        """Return both texts."""
        return [self.source, self.target]


@dataclass(frozen=True, slots=True)
class SimilarTexts:
    """Two texts of one meaning, and perhaps a third of another; or two with a ``value``.

    A ``value`` says how similar the two are, from 0 (not) to 1 (same); without one they are.
    """

    anchor: str
    positive: str
    negative: str | None = None
    value: float | None = None

    @property
    def key(self) -> str:
        """The texts, one a line."""
        return "\n".join(filter(None, (self.anchor, self.positive, self.negative)))

    @property
    def input(self) -> tuple[str, str]:
        """The two texts."""
        return self.anchor, self.positive

    @property
    def truth(self) -> float:
        """How similar the two are."""
        return 1.0 if self.value is None else self.value

    @property
    def labels(self) -> tuple[str, ...]:
        """None."""
        return ()

    def record(self) -> list[Any]:
        """Return the texts and the value."""
        return [self.anchor, self.positive, self.negative, self.value]


E = TypeVar("E", bound=Example, covariant=True)


@dataclass(frozen=True, slots=True)
class Examples(Generic[E]):
    """Rows of one kind.

    ``extras`` are further columns by name, one value a row: a curriculum's score, a group.
    """

    kind: RowKind
    items: Sequence[E]
    extras: Mapping[str, Sequence[Any]]

    def __len__(self) -> int:
        return len(self.items)

    @property
    def keys(self) -> tuple[str, ...]:
        """The texts that rows are known by."""
        return tuple(item.key for item in self.items)

    @property
    def inputs(self) -> tuple[Any, ...]:
        """What a model is asked with, row by row."""
        return tuple(item.input for item in self.items)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur, sorted; empty for kinds without labels."""
        return tuple(sorted({label for item in self.items for label in item.labels}))

    @property
    def records(self) -> tuple[list[Any], ...]:
        """Every row as JSON values."""
        return tuple(item.record() for item in self.items)

    def select(self, indices: Sequence[int]) -> "Examples[E]":
        """Return the rows at ``indices``, in that order."""
        return Examples(
            self.kind,
            tuple(self.items[i] for i in indices),
            {name: tuple(column[i] for i in indices) for name, column in self.extras.items()},
        )
