"""What a model answers, task by task: records for a person, a table or a script; free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class Prediction(Protocol):
    """One answer, whatever the task."""

    def record(self) -> dict[str, Any]:
        """Return the answer as JSON values: what was asked, then what was answered."""

    def summary(self) -> str:
        """Return the answer in a few words, for a line on the terminal."""


@dataclass(frozen=True, slots=True)
class Classified:
    """The labels of one text, or pair of texts.

    ``labels`` is the likeliest label alone, or all labels over the threshold where a text may
    have several; ``probabilities`` has every label, the likeliest first.
    """

    text: str | tuple[str, str]
    labels: tuple[str, ...]
    probabilities: Mapping[str, float]

    @property
    def label(self) -> str | None:
        """The likeliest of ``labels``; None when no label reached the threshold."""
        return self.labels[0] if self.labels else None

    @property
    def score(self) -> float:
        """The probability of the likeliest label."""
        return next(iter(self.probabilities.values()))

    def record(self) -> dict[str, Any]:
        """Return text, labels and probabilities."""
        return {
            "text": self.text if isinstance(self.text, str) else list(self.text),
            "label": self.label,
            "labels": list(self.labels),
            "score": self.score,
            "probabilities": dict(self.probabilities),
        }

    def summary(self) -> str:
        """Return the labels."""
        return ", ".join(self.labels) or "(none)"


@dataclass(frozen=True, slots=True)
class Tagged:
    """The tag of each word, and the probability of each tag."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    scores: tuple[float, ...]

    def record(self) -> dict[str, Any]:
        """Return words, tags and their probabilities."""
        return {"words": list(self.words), "tags": list(self.tags), "scores": list(self.scores)}

    def summary(self) -> str:
        """Return the words, those outside of any span plain, the others with their tag."""
        pairs = zip(self.words, self.tags, strict=True)
        return " ".join(word if tag == "O" else f"{word}/{tag}" for word, tag in pairs)


@dataclass(frozen=True, slots=True)
class Valued:
    """The number foretold for a text, or a pair of texts."""

    text: str | tuple[str, str]
    value: float

    def record(self) -> dict[str, Any]:
        """Return text and number."""
        text = self.text if isinstance(self.text, str) else list(self.text)
        return {"text": text, "value": self.value}

    def summary(self) -> str:
        """Return the number."""
        return f"{self.value:.4g}"


@dataclass(frozen=True, slots=True)
class Extracted:
    """The span of the context that answers a question; empty when the context does not tell."""

    question: str
    context: str
    answer: str
    start: int
    end: int
    score: float

    def record(self) -> dict[str, Any]:
        """Return the question, the answer, where it stands in the context and how likely it is."""
        return {
            "question": self.question,
            "context": self.context,
            "answer": self.answer,
            "start": self.start,
            "end": self.end,
            "score": self.score,
        }

    def summary(self) -> str:
        """Return the answer."""
        return self.answer or "(no answer)"


@dataclass(frozen=True, slots=True)
class Generated:
    """The text generated for a prompt, a source text or a list of messages.

    ``finish`` is "stop" when the model ended by itself, "length" when the limit cut it off.
    ``read`` and ``written`` count the tokens of the prompt and of the text.
    """

    prompt: Any
    text: str
    finish: str
    read: int = field(default=0, compare=False)
    written: int = field(default=0, compare=False)

    def record(self) -> dict[str, Any]:
        """Return prompt and text."""
        return {"prompt": self.prompt, "text": self.text, "finish": self.finish}

    def summary(self) -> str:
        """Return the text on one line."""
        return " ".join(self.text.split())


@dataclass(frozen=True, slots=True)
class Several:
    """What each of several members answers the same input, by the members' names."""

    input: Any
    answers: Mapping[str, Prediction]

    def record(self) -> dict[str, Any]:
        """Return the input, and each member's record as it gives it alone."""
        asked = list(self.input) if isinstance(self.input, tuple) else self.input
        answers = {name: answer.record() for name, answer in self.answers.items()}
        return {"input": asked, "answers": answers}

    def summary(self) -> str:
        """Return every member's answer in a few words."""
        return "; ".join(f"{name}: {answer.summary()}" for name, answer in self.answers.items())


@dataclass(frozen=True, slots=True)
class Embedded:
    """A text's embedding, of unit length; ``read`` counts its tokens."""

    text: str
    vector: tuple[float, ...]
    read: int = field(default=0, compare=False)

    def record(self) -> dict[str, Any]:
        """Return text and vector."""
        return {"text": self.text, "embedding": list(self.vector)}

    def summary(self) -> str:
        """Return the first numbers and how many there are."""
        first = ", ".join(f"{value:.3f}" for value in self.vector[:4])
        return f"[{first}, …] ({len(self.vector)} numbers)"
