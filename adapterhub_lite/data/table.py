"""Rows as a reader returns them, before anybody knows which column is which, and afterwards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one file or folder: cells are strings, numbers, booleans, lists or None.

    ``notes`` are sentences about what the reader had to decide, for the user to see.
    """

    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]
    source: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TextSet:
    """Labelled texts. A single-label row has one label; a multi-label row any number of them.

    A single-label row without a label is one whose label is missing.
    """

    texts: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    multi_label: bool = False

    def __post_init__(self) -> None:
        assert len(self.texts) == len(self.labels), "texts and labels differ in length"

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur, sorted."""
        return tuple(sorted({label for row in self.labels for label in row}))

    def select(self, indices: Sequence[int]) -> "TextSet":
        """Return the rows at ``indices``, in that order."""
        return TextSet(
            texts=tuple(self.texts[i] for i in indices),
            labels=tuple(self.labels[i] for i in indices),
            multi_label=self.multi_label,
        )
