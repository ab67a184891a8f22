"""The page in the documentation says what plans say."""

import os
from collections.abc import Iterator, Sequence

import pytest

from adapterhub_lite.plugins import get_catalogue
from tests.matrix.cells import ARCHITECTURES, Cell, Variant, variants
from tests.matrix.conftest import Lab
from tests.matrix.table import COMMAND, INTRODUCTION, PAGE, reason, section, told

# FRoD multiplies by sparse matrices, of which torch says that it does not check them
pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant:UserWarning")
OBJECTIVES = get_catalogue(first_party_only=True).names("objective")


def test_the_page_has_a_section_for_each_objective() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.startswith(INTRODUCTION), f"run: {COMMAND}"
    found = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert found == OBJECTIVES, f"run: {COMMAND}"


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_page_says_what_plans_say(lab: Lab, objective: str) -> None:
    """Each run plans the common methods everywhere, and the others on an architecture in turn.

    So every method is planned with each objective and on each architecture. A column that the page
    leaves out is one in which every method is refused.
    """
    text = PAGE.read_text(encoding="utf-8")
    if os.environ.get("MATRIX") == "all":
        made = section(lab.bench, objective, lab.catalogue, lab.registry)
        assert made.splitlines() == _section(text, objective), f"run: {COMMAND}"
        return
    page = told(text, lab.catalogue)
    for cell in _in_turn(objective, variants(lab.catalogue)):
        why = reason(lab.bench, cell, lab.catalogue, lab.registry)
        assert page[cell] == why if cell in page else why, f"{cell.name}: run {COMMAND}"


def _in_turn(objective: str, lines: Sequence[Variant]) -> Iterator[Cell]:
    names = list(ARCHITECTURES)
    for number, variant in enumerate(lines):
        turn = names[(OBJECTIVES.index(objective) + number) % len(names)]
        for architecture in names if variant.main else [turn]:
            yield Cell(variant, objective, architecture)


def _section(text: str, objective: str) -> list[str]:
    after = text.split(f"## {objective}\n", maxsplit=1)[1]
    return [f"## {objective}", *after.split("\n## ")[0].rstrip("\n").splitlines()]
