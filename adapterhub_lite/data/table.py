"""Rows as a reader returns them, before anybody knows which column is which, and afterwards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from adapterhub_lite.specs import RowKind


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one file or folder: cells are strings, numbers, booleans, lists or None.

    ``notes`` are sentences about what the reader had to decide, for the user to see.
    """

    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]
    source: str
    notes: tuple[str, ...] = ()


class RowSet(Protocol):
    """Rows of one kind, to train or to test on."""

    @property
    def kind(self) -> RowKind:
        """What the rows are."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The texts that rows are known by: duplicates are found and rows are drawn by them."""

    @property
    def inputs(self) -> tuple[Any, ...]:
        """What a model is asked with, row by row."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur, sorted; empty for kinds without labels."""

    @property
    def records(self) -> tuple[list[Any], ...]:
        """Every row as JSON values, for hashing."""

    @property
    def extras(self) -> Mapping[str, Sequence[Any]]:
        """Further columns by name, one value a row: a curriculum's score."""

    def __len__(self) -> int: ...

    def select(self, indices: Sequence[int]) -> Self:
        """Return the rows at ``indices``, in that order."""


@dataclass(frozen=True, slots=True)
class TextSet:
    """Labelled texts. A single-label row has one label; a multi-label row any number of them.

    A single-label row without a label is one whose label is missing. ``seconds`` are the second
    texts of sentence pairs; empty where a row is one text.
    """

    texts: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    multi_label: bool = False
    seconds: tuple[str, ...] = ()
    extras: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert len(self.texts) == len(self.labels), "texts and labels differ in length"
        assert len(self.seconds) in (0, len(self.texts)), "a pair lacks its second text"

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def kind(self) -> RowKind:
        """Labelled text."""
        return "labelled-text"

    @property
    def keys(self) -> tuple[str, ...]:
        """The texts; of a pair both, one below the other."""
        if not self.seconds:
            return self.texts
        return tuple(f"{a}\n{b}" for a, b in zip(self.texts, self.seconds, strict=True))

    @property
    def inputs(self) -> tuple[Any, ...]:
        """The texts, or the pairs of texts."""
        return tuple(zip(self.texts, self.seconds, strict=True)) if self.seconds else self.texts

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur, sorted."""
        return tuple(sorted({label for row in self.labels for label in row}))

    @property
    def records(self) -> tuple[list[Any], ...]:
        """Each row's text and its labels, sorted; the second text at the end of a pair."""
        rows = (
            [text, sorted(labels)] for text, labels in zip(self.texts, self.labels, strict=True)
        )
        if not self.seconds:
            return tuple(rows)
        return tuple([*row, second] for row, second in zip(rows, self.seconds, strict=True))

    def select(self, indices: Sequence[int]) -> "TextSet":
        """Return the rows at ``indices``, in that order."""
        return TextSet(
            texts=tuple(self.texts[i] for i in indices),
            labels=tuple(self.labels[i] for i in indices),
            multi_label=self.multi_label,
            seconds=tuple(self.seconds[i] for i in indices) if self.seconds else (),
            extras={
                name: tuple(column[i] for i in indices) for name, column in self.extras.items()
            },
        )
