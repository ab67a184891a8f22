"""The pages about the conformance kit: its checks by kind, and the plugins that are to fail it.

``python tests/conformance/pages.py`` writes both; a test fails when they are not what it writes.
"""

import inspect
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from adapterhub_lite.testing import spec_checks
from adapterhub_lite.testing.suite import MODULES, advice, checks_of
from tests.conformance.broken import (
    compositions,
    exchanges,
    loaders,
    merges,
    methods,
    metrics,
    objectives,
    places,
    presets,
    readers,
    specs,
)
from tests.conformance.broken.entries import Broken, failures

PLUGINS: Final = Path(__file__).parents[2] / "docs" / "plugins"
KIT: Final = PLUGINS / "conformance.md"
TABLE: Final = PLUGINS / "broken-plugins.md"
COMMAND: Final = "python tests/conformance/pages.py"
MARK: Final = "<!-- below: written from the checks' docstrings -->\n"
MODULES_OF_BROKEN: Final = (
    *(specs, methods, objectives, loaders, presets),
    *(merges, readers, metrics, compositions, exchanges, places),
)
INTRODUCTION: Final = f"""# Broken plugins, and the check that finds each

Every plugin below is a sound one with a single fault. A test holds each to the whole kit: the check
that is named fails, with the message, and no other; where a second one cannot but fail too, it
stands below the first. `{COMMAND}` writes this page.

| kind | what is wrong | check | message |
|---|---|---|---|
"""


def kit_page() -> str:
    """Return the page about the kit: its words as they are, its checks written anew."""
    words = KIT.read_text(encoding="utf-8").partition(MARK)[0]
    return words + MARK + "\n" + "\n".join(_sections())


def table_page(shared: Path) -> str:
    """Return the page of broken plugins, having run each."""
    rows = (_row(broken, shared / str(number)) for number, broken in enumerate(_all()))
    return INTRODUCTION + "".join(rows)


def broken_rows(text: str) -> list[tuple[str, str]]:
    """Return what a page's rows say is wrong, and which check says so."""
    cells = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    return [(row[1], re.findall(r"`(\w+)`", row[2])[0]) for row in cells]


def expected_rows() -> list[tuple[str, str]]:
    """Return what the page's rows have to say."""
    return [(broken.fault, broken.check) for broken in _all()]


def _sections() -> Iterator[str]:
    yield _section("Every kind", spec_checks.CHECKS)
    for kind in MODULES:
        own = [check for check in checks_of(kind) if check not in spec_checks.CHECKS]
        yield _section(kind.capitalize(), own)


def _section(title: str, checks: Sequence[object]) -> str:
    lines = [f"## {title}", ""]
    for check in checks:
        first = inspect.cleandoc(check.__doc__ or "").partition("\n")[0]
        more = advice(check)  # type: ignore[arg-type]
        lines += [f"- **`{check.__name__}`** {first} {more}".rstrip()]  # type: ignore[attr-defined]
    return "\n".join([*lines, ""])


def _all() -> Iterator[Broken]:
    for module in MODULES_OF_BROKEN:
        yield from module.BROKEN  # type: ignore[attr-defined]


def _row(broken: Broken, shared: Path) -> str:
    shared.mkdir()
    checks = [check for check in checks_of(broken.kind) if check.__name__ == broken.check]
    (result,) = failures(broken, shared, checks)
    names = "<br>".join(f"`{name}`" for name in (broken.check, *broken.also))
    message = result.message.replace("|", "\\|").replace("\n", " ")
    return f"| {broken.kind} | {broken.fault} | {names} | {message} |\n"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    KIT.write_text(kit_page(), encoding="utf-8")
    if "--kit" not in sys.argv:
        with tempfile.TemporaryDirectory() as folder:
            TABLE.write_text(table_page(Path(folder)), encoding="utf-8")
