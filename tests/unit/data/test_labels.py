"""Cells become texts and labels."""

from typing import Any

import pytest

from adapterhub_lite.data.columns import Columns
from adapterhub_lite.data.labels import text_set
from adapterhub_lite.data.table import Table, TextSet
from adapterhub_lite.errors import DataError

NAN = float("nan")


def rows(*cells: Any, text: Any = "hello") -> Table:
    return Table(("text", "label"), [{"text": text, "label": cell} for cell in cells], "a.csv")


def single(*cells: Any) -> tuple[tuple[str, ...], ...]:
    return text_set(rows(*cells), Columns("text", "label")).labels


def several(*cells: Any, separator: str = ",") -> tuple[tuple[str, ...], ...]:
    columns = Columns("text", "label")
    return text_set(rows(*cells), columns, multi_label=True, separator=separator).labels


def flags(*cells: Any) -> TextSet:
    table = Table(("text", "spam"), [{"text": "a", "spam": cell} for cell in cells], "a.csv")
    return text_set(table, Columns("text", ("spam",)))


@pytest.mark.parametrize(
    ("cell", "label"),
    [
        ("spam", "spam"),
        (" spam\u00a0", "spam"),
        ("cafe\u0301", "caf\u00e9"),
        (1, "1"),
        (1.0, "1"),
        (0.5, "0.5"),
        (True, "true"),
        (False, "false"),
        ("[spam]", "[spam]"),
    ],
)
def test_a_label_is_a_string(cell: Any, label: str) -> None:
    assert single(cell) == ((label,),)


@pytest.mark.parametrize("cell", [None, "", "  ", "\u200b", NAN])
def test_a_missing_label_is_no_label(cell: Any) -> None:
    assert single(cell) == ((),)
    assert several(cell) == ((),)


@pytest.mark.parametrize("cell", [["a", "b"], [], '["a", "b"]', "['a', 'b']"])
def test_a_list_is_refused_where_one_label_is_meant(cell: Any) -> None:
    with pytest.raises(DataError, match=r"a\.csv: row 2: the label is a list") as caught:
        single("x", cell)
    assert "--multi-label" in caught.value.hint


@pytest.mark.parametrize(
    "cell",
    [["b", "a", "b"], ("a", "b"), '["b", "a"]', "['b', 'a', None]", "b, a,", ["a", " b", ""]],
)
def test_several_labels_are_sorted_and_distinct(cell: Any) -> None:
    assert several(cell) == (("a", "b"),)


def test_several_labels_may_be_numbers_or_joined_otherwise() -> None:
    assert several([1, 2.0], 3, "[4, 5]") == (("1", "2"), ("3",), ("4", "5"))
    assert several("a,b|c", separator="|") == (("a,b", "c"),)


@pytest.mark.parametrize("cell", [{"a": 1}, [["a"]], b"a", [{"a": 1}]])
def test_other_things_are_no_labels(cell: Any) -> None:
    with pytest.raises(DataError, match="row 2: a cell holds"):
        several("x", cell)


def test_flags_become_labels() -> None:
    found = flags(0, 1, "0", "1", True, False, "True", "false", 1.0, 0.0)
    spam: tuple[str, ...] = ("spam",)
    assert found.labels == ((), spam, (), spam, spam, (), spam, (), spam, ())
    assert found.multi_label


@pytest.mark.parametrize("cell", [2, "yes", None, "", 0.5, NAN])
def test_anything_else_is_no_flag(cell: Any) -> None:
    with pytest.raises(DataError, match=r"row 2: the label column 'spam' holds .*, not 0 or 1"):
        flags(1, cell)


@pytest.mark.parametrize(
    ("cell", "text"), [(None, ""), (NAN, ""), (3, "3"), (2.5, "2.5"), ("", "")]
)
def test_a_text_is_a_string(cell: Any, text: str) -> None:
    assert text_set(rows("x", text=cell), Columns("text", "label")).texts == (text,)


def test_a_list_is_no_text_and_long_cells_are_cut_in_messages() -> None:
    with pytest.raises(DataError, match="row 1: a cell holds list") as caught:
        text_set(rows("x", text=["word"] * 100), Columns("text", "label"))
    assert len(caught.value.message) < 120
