"""Which of the cells that work are trained each time: a cover that fits into minutes."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from tests.matrix.cells import Cell


def cover(cells: Sequence[Cell]) -> list[Cell]:
    """Return the main methods' cells, and of others each objective and each architecture once.

    Which architecture an objective gets moves on from method to method, so that all pairs occur.
    """
    chosen: list[Cell] = []
    for turn, (main, own) in enumerate(_by_variant(cells)):
        chosen += own if main else _some(own, turn)
    return chosen


def _by_variant(cells: Sequence[Cell]) -> Iterator[tuple[bool, list[Cell]]]:
    ordered = sorted(cells, key=lambda cell: cell.variant.name)
    for _, group in groupby(ordered, key=lambda cell: cell.variant.name):
        own = list(group)
        yield own[0].variant.main, own


def _some(cells: list[Cell], turn: int) -> Iterator[Cell]:
    seen: set[str] = set()
    for number, objective in enumerate(sorted({cell.objective for cell in cells})):
        fitting = [cell for cell in cells if cell.objective == objective]
        cell = fitting[(turn + number) % len(fitting)]
        seen.add(cell.architecture)
        yield cell
    for cell in cells:
        if cell.architecture not in seen:
            seen.add(cell.architecture)
            yield cell
