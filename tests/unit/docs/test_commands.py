"""Every ``ahl`` command that is written down exists, and takes the options that it is given."""

import shlex
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

from adapterhub_lite.cli.root import COMMANDS
from tests.unit.docs.commands import fault, shell_commands
from tests.unit.docs.pages import DOCS, all_pages, blocks, name_of, spans

SCRIPTS = ("sh", "bash", "shell")
SESSIONS = ("console",)
COMMANDS_GROUP = "adapterhub_lite.commands"


def faults(page: Path, lines: Iterable[list[str]], *, whole: bool) -> dict[str, str]:
    """Return what is wrong with the commands of a page, but for those that it says how to bring."""
    own = brought(page.read_text(encoding="utf-8"))
    found = {
        shlex.join(line): fault(line, whole=whole) for line in lines if own.isdisjoint(line[:1])
    }
    return {line: said for line, said in found.items() if said}


def brought(text: str) -> set[str]:
    """Return the names of the commands that a page declares as a plugin's entry points."""
    tables = [tomllib.loads(block).get("project", {}) for block in blocks(text, "toml")]
    groups = [table.get("entry-points", {}).get(COMMANDS_GROUP, {}) for table in tables]
    return {name for group in groups for name in group}


@pytest.mark.parametrize("page", all_pages(), ids=name_of)
def test_the_commands_in_blocks_are_right(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    lines = [line for block in blocks(text, *SCRIPTS) for line in shell_commands(block, False)]
    lines += [line for block in blocks(text, *SESSIONS) for line in shell_commands(block, True)]
    assert faults(page, lines, whole=True) == {}


@pytest.mark.parametrize("page", all_pages(), ids=name_of)
def test_the_commands_in_sentences_exist(page: Path) -> None:
    named = [span for span in spans(page.read_text(encoding="utf-8")) if span.startswith("ahl ")]
    lines = [line for span in named for line in shell_commands(span, False)]
    assert faults(page, lines, whole=False) == {}


def test_every_command_has_its_section_on_one_page_about_commands() -> None:
    headings = [
        line.removeprefix("## ahl ").strip()
        for page in (DOCS / "verbs").glob("*.md")
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("## ahl ")
    ]
    assert sorted(headings) == sorted(COMMANDS)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ahl frobnicate", "no command 'ahl frobnicate'"),
        ("ahl alias move a@1 b", "no command 'ahl alias move'"),
        ("ahl plan train.yml --sett seed=1", "No such option '--sett'."),
        ("ahl predict", "ahl predict lacks REF"),
        ("ahl bake tickets@1", "ahl bake lacks --into"),
        ("ahl show a@1 b@1", "ahl show does not take ['b@1']"),
        ("ahl fewshot a.csv --engine slow", "Invalid value for '--engine'"),
        ("ahl fewshot a.csv --shots", "Option '--shots' requires an argument."),
        ("ahl methods", "ahl methods needs a command"),
    ],
)
def test_a_wrong_command_is_found(line: str, said: str) -> None:
    (words,) = shell_commands(line, False)
    assert fault(words, whole=True).startswith(said)


@pytest.mark.parametrize(
    "line",
    [
        "ahl --help",
        "ahl train --help",
        "X=1 ahl predict tickets 'a | b' | head",
        "cat lines.txt | ahl predict tickets --format jsonl > out.jsonl",
        "ahl merge a@1 b@1 --strategy ties \\\n    --name both # a comment",
    ],
)
def test_a_right_command_is_right(line: str) -> None:
    (words,) = shell_commands(line, False)
    assert fault(words, whole=True) == ""


def test_only_what_stands_after_a_prompt_is_typed() -> None:
    assert list(shell_commands("$ ahl list\nahl is typed\n", True)) == [["list"]]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ahl merge --search", ""),
        ("ahl fewshot --shots", ""),
        ("ahl merge --serch", "No such option '--serch'."),
        ("ahl merg --search", "no command 'ahl merg'"),
    ],
)
def test_a_command_that_is_spoken_of_needs_no_arguments(line: str, said: str) -> None:
    (words,) = shell_commands(line, False)
    assert fault(words, whole=False).startswith(said)
    assert bool(fault(words, whole=False)) == bool(said)


def test_a_page_may_bring_a_command_of_its_own() -> None:
    table = f'[project.entry-points."{COMMANDS_GROUP}"]\nmend = "tools:mend"\n'
    assert brought(f"```toml\n{table}```\n") == {"mend"}
    assert (
        brought("```toml\n[project.entry-points.adapterhub_lite]\nmend = 'tools'\n```\n") == set()
    )
