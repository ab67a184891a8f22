"""Every link from a page leads somewhere: to a file of the project, and to a heading that is there.

`mkdocs build --strict` says so of the site's pages; this also of those beside the code.
"""

import re
from pathlib import Path

import pytest

from tests.unit.docs.pages import DOCS, ROOT, all_pages, name_of, prose

LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def links(text: str) -> list[str]:
    """Return where a page's relative links lead; spans of code are no links."""
    found = LINK.findall(re.sub(r"`[^`\n]*`", "", prose(text)))
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as the site and code hosts make them."""
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(prose(text))]
    return {heading.strip().replace(" ", "-") for heading in plain}


def dead(page: Path) -> list[str]:
    """Return a page's links that lead nowhere."""
    targets = links(page.read_text(encoding="utf-8"))
    return [target for target in targets if not leads(page, *target.partition("#")[::2])]


def leads(page: Path, path: str, anchor: str) -> bool:
    """Say whether a link's goal is there, and part of what the page is part of."""
    goal = (page.parent / path).resolve() if path else page
    whole = DOCS if page.is_relative_to(DOCS) else ROOT
    if not goal.exists() or not goal.is_relative_to(whole):
        return False
    return not anchor or anchor in anchors(goal.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", all_pages(), ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert dead(page) == []


def test_dead_links_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.unit.docs.test_links.ROOT", tmp_path)
    (tmp_path / "there.md").write_text("# Here it is: `so`\n", encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md) [b](there.md#here-it-is-so) [c](gone.md) [d](there.md#gone) [e](#gone)\n"
        "`[f](gone.md)` [g](https://example.org) [h](../outside.md)\n# Top\n[i](#top)\n",
        encoding="utf-8",
    )
    assert dead(page) == ["gone.md", "there.md#gone", "#gone", "../outside.md"]
