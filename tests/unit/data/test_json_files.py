"""JSON and JSON Lines, well-formed and broken."""

import json
from collections.abc import Callable

import pytest

from adapterhub_lite.data.table import Table
from adapterhub_lite.errors import DataError

Read = Callable[..., Table]
Refused = Callable[..., DataError]

ROWS = [{"text": "a\u2028b", "label": "x"}, {"text": "c", "tags": ["p", "q"]}]
FILLED = [
    {"text": "a\u2028b", "label": "x", "tags": None},
    {"text": "c", "label": None, "tags": ["p", "q"]},
]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", json.dumps(ROWS, ensure_ascii=False)),
        ("a.jsonl", "\r\n\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)),
    ],
)
def test_columns_are_the_keys_of_all_objects(read: Read, name: str, content: str) -> None:
    table = read(name, content)
    assert table.columns == ("text", "label", "tags")
    assert table.rows == FILLED


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"text": "a"},\n {"text" "b"}]', "line 2 column 10"),
        ('{"text": "a"}', "an object, not a list of objects"),
        ("3", "a number, not a list of objects"),
        ('[{"text": "a"}, "b"]', "item 2 is a string"),
        ("[" * 100_000, "recursion"),
        ('[{"text": ' + "1" * 5000 + "}]", "digits"),
        ("[]", "no rows"),
    ],
)
def test_broken_json_is_refused(refused: Refused, content: str, message: str) -> None:
    assert message in refused("a.json", content).message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "b"', "line 3: Expecting ',' delimiter"),
        ('["b"]', "line 3 holds a list"),
        ("null", "line 3 holds null"),
        ("[" * 100_000, "line 3: maximum recursion"),
    ],
)
def test_a_broken_line_is_named(refused: Refused, line: str, message: str) -> None:
    assert message in refused("a.jsonl", f'{{"text": "a"}}\n\n{line}\n').message


def test_json_lines_in_a_json_file_are_recognised(refused: Refused) -> None:
    assert "--format jsonl" in refused("a.json", '{"text": "a"}\n{"text": "b"}\n').hint


@pytest.mark.parametrize("content", ['[\n{"text": "a"}\n]', '[{"text": "a"}]'])
def test_a_json_list_in_a_jsonl_file_is_recognised(refused: Refused, content: str) -> None:
    assert "--format json" in refused("a.jsonl", content).hint
