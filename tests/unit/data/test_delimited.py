"""CSV and TSV, well-formed and broken."""

import csv
import io
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite.data.table import Table
from adapterhub_lite.errors import DataError
from adapterhub_lite_readers.delimited import CsvReader

Read = Callable[..., Table]
Refused = Callable[..., DataError]

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"))


def cells(table: Table) -> list[tuple[str, ...]]:
    return [tuple(row.values()) for row in table.rows]


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1))
def test_what_the_csv_module_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows([("text", "label"), *rows])
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(buffer.getvalue().encode())
    assert cells(CsvReader().read(path, "utf-8")) == rows


def test_quotes_line_ends_and_blank_lines(read: Read) -> None:
    table = read("a.csv", 'text,label\r\n"a, ""b""\r\nc",x\r\n\r\nd,y\r\n')
    assert cells(table) == [('a, "b"\r\nc', "x"), ("d", "y")]
    assert table.notes == ()


def test_a_byte_order_mark_is_no_part_of_the_first_name(read: Read) -> None:
    assert read("a.csv", b"\xef\xbb\xbftext,label\na,b\n").columns == ("text", "label")


def test_a_cell_may_be_larger_than_the_csv_module_likes(read: Read) -> None:
    before = csv.field_size_limit()
    table = read("a.csv", f"text,label\n{'x' * 200_000},b\n")
    assert len(table.rows[0]["text"]) == 200_000
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(("delimiter", "shown"), [(";", ";"), ("\t", "\\t"), ("|", "|")])
def test_another_delimiter_is_recognised_and_said(read: Read, delimiter: str, shown: str) -> None:
    table = read("a.csv", f"text{delimiter}label\none, two{delimiter}x\n")
    assert cells(table) == [("one, two", "x")]
    assert f"'{shown}'" in table.notes[0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a,b,c", "line 5 has 3 cells, the header has 2"),
        ("a", "line 5 has 1 cell, the header has 2"),
    ],
)
def test_a_line_of_another_length_is_named(refused: Refused, line: str, message: str) -> None:
    error = refused("a.csv", f'text,label\n"two\nlines",x\nb,y\n{line}\n')
    assert message in error.message
    assert error.hint


def test_a_quote_that_is_never_closed_is_found_where_it_opens(refused: Refused) -> None:
    error = refused("a.csv", 'text,label\na,x\n"b,y\nc,z\n')
    assert "line 3: a quote is opened and never closed" in error.message


def test_text_behind_a_closing_quote_is_refused(refused: Refused) -> None:
    assert "line 2" in refused("a.csv", 'text,label\n"a"b,x\n').message


def test_tsv_with_quoted_cells(read: Read) -> None:
    assert cells(read("a.tsv", 'text\tlabel\n"a\tb"\tx\n')) == [("a\tb", "x")]


def test_tsv_with_quotes_that_are_characters(read: Read) -> None:
    table = read("a.tsv", 'text\tlabel\n"hello, he said\tx\n"bye" then\ty\n')
    assert cells(table) == [('"hello, he said', "x"), ('"bye" then', "y")]
    assert "plain characters" in table.notes[0]


def test_tsv_that_is_broken_either_way(refused: Refused) -> None:
    assert "line 2 has 3 cells" in refused("a.tsv", "text\tlabel\na\tb\tc\n").message
