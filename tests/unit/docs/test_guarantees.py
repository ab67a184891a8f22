"""Every promise of docs/guarantees.md names a test, and the test is there."""

import ast
import re

import pytest

from tests.unit.docs.pages import DOCS, ROOT

PAGE = (DOCS / "guarantees.md").read_text(encoding="utf-8")
TESTS = re.findall(r"`(tests/[^`]+)`", PAGE)
ROWS = [row for row in PAGE.splitlines() if row.startswith("| ") and "held by" not in row]


@pytest.mark.parametrize("test", TESTS)
def test_a_named_test_exists(test: str) -> None:
    file, _, name = test.partition("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert (name in names) if name else any(found.startswith("test_") for found in names)


def test_every_promise_has_a_test() -> None:
    assert ROWS
    assert [row for row in ROWS if "`tests/" not in row] == []
