"""The support matrix: what a plan says of every cell, as a page of Markdown."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir
from pathlib import Path
from typing import Final

from adapterhub_lite import api
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import AdapterHubError
from adapterhub_lite_registry import Registry
from tests.matrix.cells import ARCHITECTURES, TITLES, Bench, Cell, Variant, variants

PAGE: Final = Path(__file__).parents[2] / "docs" / "support-matrix.md"
COMMAND: Final = "python tests/matrix/generate.py"
WORKS: Final = "✓"
INTRODUCTION: Final = f"""# Support matrix

Which method trains with which objective on which architecture. {WORKS}: it works. A number: it is
refused before a weight is loaded, for the reason below the table; `ahl plan` says so too, and names
methods that work.

`{COMMAND}` writes this page from what plans say, on tiny models 32 wide
and with parameters that fit them. `tests/matrix` plans again, and fails when plans say otherwise;
what works it trains. It checks that the loss falls, that the base keeps its bytes, that an
adapter's files hold nothing of the base, that the same seed gives the same bytes, and that a fresh
process answers as the trained model did. Each run does so for the common methods everywhere, and
for every method with each objective and on each architecture once; `MATRIX=all pytest tests/matrix`
plans every cell and trains every {WORKS}.

Another architecture of the same kind (an encoder, a decoder, an encoder-decoder) mostly behaves as
these do, and `ahl plan` tells.
"""


def sections(bench: Bench, catalogue: Catalogue, registry: Registry) -> Iterator[tuple[str, str]]:
    """Yield each objective and its section of the page."""
    for objective in catalogue.names("objective"):
        yield objective, section(bench, objective, catalogue, registry)


def section(bench: Bench, objective: str, catalogue: Catalogue, registry: Registry) -> str:
    """Return an objective's section: its table, and why what is refused is refused."""
    lines = variants(catalogue)
    said = {
        (variant.name, architecture): reason(
            bench, Cell(variant, objective, architecture), catalogue, registry
        )
        for architecture in ARCHITECTURES
        for variant in lines
    }
    shown = [name for name in ARCHITECTURES if _takes(name, lines, said)]
    numbers: dict[str, int] = {}
    rows = [_row(variant, shown, said, numbers) for variant in lines]
    titles = [TITLES[list(ARCHITECTURES).index(name)] for name in shown]
    summary = catalogue.objective(objective).summary
    table = [f"| method | {' | '.join(titles)} |", f"|---|{':-:|' * len(shown)}", *rows]
    others = [f"- {said['full', name]}" for name in ARCHITECTURES if name not in shown]
    reasons = [f"{number}. {text}" for text, number in numbers.items()]
    parts = [f"## {objective}", summary, "\n".join(table)]
    parts += ["\n".join(reasons)] * bool(reasons)
    parts += ["Refused with every method:\n\n" + "\n".join(others)] * bool(others)
    return "\n\n".join(parts) + "\n"


def reason(bench: Bench, cell: Cell, catalogue: Catalogue, registry: Registry) -> str:
    """Return why a cell is refused; empty when it is not.

    What the table tells is left out: the method's name, and the hint which methods work.
    """
    with chdir(bench.folder):
        try:
            api.plan(bench.recipe(cell, absolute=False), registry=registry, catalogue=catalogue)
        except AdapterHubError as error:
            why = re.sub(r"^the method '[^']+' (does not fit: )?", "", error.message)
            way_out = error.hint and not error.hint.startswith("methods that can")
            return f"{why} ({error.hint})" if way_out else why
    return ""


def page(parts: Sequence[str]) -> str:
    """Put the sections together."""
    return "\n".join([INTRODUCTION, *parts])


def working(text: str, catalogue: Catalogue) -> list[Cell]:
    """Return the cells that a page says work."""
    return [cell for cell, why in told(text, catalogue).items() if not why]


def told(text: str, catalogue: Catalogue) -> dict[Cell, str]:
    """Return what a page says of the cells of its tables: as :func:`reason`."""
    by_title = {variant.title: variant for variant in variants(catalogue)}
    by_heading = dict(zip(TITLES, ARCHITECTURES, strict=True))
    found: dict[Cell, str] = {}
    for part in text.split("\n## ")[1:]:
        objective, _, rest = part.partition("\n")
        reasons = {WORKS: "", **dict(re.findall(r"^(\d+)\. (.*)$", rest, re.MULTILINE))}
        columns: list[str] = []
        for line in rest.splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if line.startswith("| method |"):
                columns = [by_heading[cell] for cell in cells[1:]]
            elif line.startswith("|") and cells[0] in by_title:
                for architecture, mark in zip(columns, cells[1:], strict=True):
                    found[Cell(by_title[cells[0]], objective, architecture)] = reasons[mark]
    return found


def _takes(
    architecture: str, lines: Sequence[Variant], said: Mapping[tuple[str, str], str]
) -> bool:
    return not all(said[variant.name, architecture] for variant in lines)


def _row(
    variant: Variant,
    shown: Sequence[str],
    said: Mapping[tuple[str, str], str],
    numbers: dict[str, int],
) -> str:
    marks = []
    for architecture in shown:
        why = said[variant.name, architecture]
        marks.append(str(numbers.setdefault(why, len(numbers) + 1)) if why else WORKS)
    return f"| {variant.title} | {' | '.join(marks)} |"
