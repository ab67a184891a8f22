"""Pairs of texts that are asked of an embedding model: how similar they are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from adapterhub_lite.predictions import Embedded, Prediction


@dataclass(frozen=True, slots=True)
class Compared:
    """Two texts and the cosine of their embeddings, from -1 to 1."""

    first: str
    second: str
    similarity: float

    def record(self) -> dict[str, Any]:
        """Return both texts and how similar they are."""
        return {"text": [self.first, self.second], "similarity": self.similarity}

    def summary(self) -> str:
        """Return how similar they are."""
        return f"{self.similarity:.4f}"


def pairs_to_texts(inputs: Sequence[Any]) -> list[str]:
    """Return texts and the texts of pairs, one behind the other."""
    return [text for item in inputs for text in ([item] if isinstance(item, str) else item)]


def texts_to_pairs(inputs: Sequence[Any], found: Sequence[Prediction]) -> list[Prediction]:
    """Return the embedding of each text and the similarity of each pair, in the inputs' order.

    ``found`` are the embeddings of what :func:`pairs_to_texts` returned, each of unit length.
    """
    rest = iter(found)
    return [
        _embedding(rest, item) if isinstance(item, str) else _compared(rest, *item)
        for item in inputs
    ]


def _embedding(rest: Iterator[Prediction], text: str) -> Embedded:
    one = next(rest)
    assert isinstance(one, Embedded), "models of similar texts answer with embeddings"
    return replace(one, text=text)


def _compared(rest: Iterator[Prediction], first: str, second: str) -> Compared:
    one, other = _embedding(rest, first).vector, _embedding(rest, second).vector
    return Compared(first, second, sum(a * b for a, b in zip(one, other, strict=True)))
