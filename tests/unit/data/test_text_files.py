"""Encodings: what is decoded, and what is said when it is not."""

from collections.abc import Callable

import pytest

from adapterhub_lite.data.table import Table
from adapterhub_lite.errors import DataError

Read = Callable[..., Table]
Refused = Callable[..., DataError]

CSV = "text,label\nça va,fr\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_a_named_encoding_is_read(read: Read, encoding: str) -> None:
    assert read("a.csv", CSV.encode(encoding), encoding=encoding).rows[0]["text"] == "ça va"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "cp1252"])
def test_the_right_encoding_is_guessed(refused: Refused, encoding: str) -> None:
    error = refused("a.csv", CSV.encode(encoding))
    assert "not utf-8 at byte" in error.message
    assert error.hint == f"try --encoding {encoding}"


def test_the_place_of_a_wrong_byte_is_told(refused: Refused) -> None:
    error = refused("a.csv", CSV.encode("cp1252"))
    assert "at byte 11 (line 2)" in error.message


def test_no_guess_is_made_where_nothing_fits(refused: Refused) -> None:
    error = refused("a.csv", b"text,label\n\x81\x8d,x\n")
    assert error.hint == "name its encoding with --encoding"


def test_utf_8_is_guessed_when_something_else_was_asked_for(refused: Refused) -> None:
    assert refused("a.csv", CSV.encode(), encoding="ascii").hint == "try --encoding utf-8"


def test_utf_16_without_a_mark_is_recognised_by_its_nul_characters(refused: Refused) -> None:
    assert "utf-16-le" in refused("a.csv", "text,label\n".encode("utf-16-le")).hint


@pytest.mark.parametrize("name", ["utf-9", "hex"])
def test_an_unknown_encoding_is_refused(refused: Refused, name: str) -> None:
    assert f"unknown encoding '{name}'" in refused("a.csv", CSV, encoding=name).message


@pytest.mark.parametrize(
    ("start", "what"),
    [(b"PK\x03\x04", "Excel"), (b"PAR1", "--format parquet"), (b"\x1f\x8b", "gzip")],
)
def test_binary_files_are_recognised(refused: Refused, start: bytes, what: str) -> None:
    assert what in refused("a.csv", start + b"\x00\xff").hint
