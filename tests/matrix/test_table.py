"""The page in the documentation says what plans say."""

import pytest

from adapterhub_lite.plugins import load_catalogue
from tests.matrix.conftest import Lab
from tests.matrix.table import COMMAND, INTRODUCTION, PAGE, section

# FRoD multiplies by sparse matrices, of which torch says that it does not check them
pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant:UserWarning")
OBJECTIVES = load_catalogue(first_party_only=True).names("objective")


def test_the_page_has_a_section_for_each_objective() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.startswith(INTRODUCTION), f"run: {COMMAND}"
    found = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert found == OBJECTIVES, f"run: {COMMAND}"


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_section_says_what_plans_say(lab: Lab, objective: str) -> None:
    made = section(lab.bench, objective, lab.catalogue, lab.registry)
    written = PAGE.read_text(encoding="utf-8")
    assert made.splitlines() == _section(written, objective), f"docs/{PAGE.name}: run {COMMAND}"


def _section(text: str, objective: str) -> list[str]:
    after = text.split(f"## {objective}\n", maxsplit=1)[1]
    return [f"## {objective}", *after.split("\n## ")[0].rstrip("\n").splitlines()]
