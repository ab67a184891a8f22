"""Finding the text and the label."""

import pytest

from adapterhub_lite.data.columns import Columns, find_columns
from adapterhub_lite.data.table import Table
from adapterhub_lite.errors import DataError


def table(*columns: str, rows: list[tuple[object, ...]] | None = None) -> Table:
    filled = rows or [tuple("cell" for _ in columns)]
    return Table(columns, [dict(zip(columns, row, strict=True)) for row in filled], "a.csv")


REPEATING = [
    ("how do I reset it", "x1"),
    ("where is my money", "x1"),
    ("hello there you", "x2"),
] * 2
VARIED = [(f"{text} {number}", label) for number, (text, label) in enumerate(REPEATING)]


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        (("id", "Text", "Label"), Columns("Text", "Label")),
        (("id", "utterance", "INTENT "), Columns("utterance", "INTENT ")),
        (("message", "text", "label", "topic"), Columns("text", "label")),
        (("review", "stars"), Columns("review", "stars")),
        (("mail", "category"), Columns("mail", "category")),
    ],
)
def test_columns_are_found_by_name(columns: tuple[str, ...], found: Columns) -> None:
    assert find_columns(table(*columns)) == found


@pytest.mark.parametrize("swap", [False, True])
def test_two_columns_are_told_apart_by_content(swap: bool) -> None:
    rows: list[tuple[object, ...]] = [row[::-1] if swap else row for row in VARIED]
    names = ("b", "a") if swap else ("a", "b")
    assert find_columns(table(*names, rows=rows)) == Columns("a", "b")


def test_given_columns_win() -> None:
    both = table("text", "body", "label", "topic")
    assert find_columns(both, text="body", label="topic") == Columns("body", "topic")
    assert find_columns(both, text="body") == Columns("body", "label")


def test_label_columns_may_be_several_and_a_list_of_one_is_several() -> None:
    flags = table("text", "spam", "urgent")
    assert find_columns(flags, label=["spam", "urgent"]) == Columns("text", ("spam", "urgent"))
    assert find_columns(flags, label=["spam"]) == Columns("text", ("spam",))


def refused(rows: Table, text: str | None = None, label: str | None = None) -> DataError:
    with pytest.raises(DataError) as caught:
        find_columns(rows, text, label)
    assert caught.value.path == "a.csv"
    assert all(repr(name) in caught.value.message for name in rows.columns)
    return caught.value


def test_a_missing_column_is_refused_with_the_nearest() -> None:
    assert refused(table("text", "category"), label="Categorie").hint == "did you mean 'category'?"
    assert "--label" in refused(table("text", "category"), label="zzz").hint


@pytest.mark.parametrize(
    ("columns", "missing"),
    [
        (("a", "b", "c"), "the text and which the label"),
        (("text", "b", "c"), "the label"),
        (("a", "b", "label"), "the text"),
        (("text",), "the label"),
        (("a", "b"), "the text and which the label"),
    ],
)
def test_a_doubt_is_refused(columns: tuple[str, ...], missing: str) -> None:
    error = refused(table(*columns))
    assert f"cannot tell which column is {missing};" in error.message
    assert "--text" in error.hint


def test_a_hundred_columns_are_not_all_listed() -> None:
    with pytest.raises(DataError, match=r"'c19' and 80 more$"):
        find_columns(table(*(f"c{number}" for number in range(100))))


def test_two_known_names_are_a_doubt() -> None:
    error = refused(table("review", "body", "label"))
    assert "the text may be in 'review' or 'body'" in error.message
    assert error.hint == "choose: --text review"


def test_one_column_cannot_be_both() -> None:
    assert "two roles" in refused(table("text", "label"), "text", "text").message


def test_a_file_without_a_header_is_recognised() -> None:
    headless = table("how do I pay", "x1", rows=[*VARIED])
    with pytest.raises(DataError, match="the first line looks like a row"):
        find_columns(headless)
