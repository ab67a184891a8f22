"""A catalogue of the first-party readers, as the entry point offers them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import adapterhub_lite_readers
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.data.kinds import read_rows
from adapterhub_lite.data.reading import read_table
from adapterhub_lite.data.table import RowSet, Table
from adapterhub_lite.errors import DataError
from adapterhub_lite.plugins import PluginSource
from adapterhub_lite.recipes.data import DataSection
from adapterhub_lite.specs import RowKind


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue(
        [PluginSource("readers", "adapterhub-lite", "0.1.0", lambda: adapterhub_lite_readers)]
    )


@pytest.fixture
def read(tmp_path: Path, catalogue: Catalogue) -> Callable[..., Table]:
    """Write a file and read it: ``read("a.csv", "text,label\\n...")``."""

    def write_and_read(name: str, content: str | bytes, **options: str) -> Table:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_table(path, catalogue, **options)

    return write_and_read


@pytest.fixture
def refused(read: Callable[..., Table]) -> Callable[..., DataError]:
    """Write a file that must be refused; return the error, whose path and message name it."""

    def write_and_fail(name: str, content: str | bytes, **options: str) -> DataError:
        with pytest.raises(DataError) as caught:
            read(name, content, **options)
        assert caught.value.path.endswith(name)
        assert name in caught.value.message
        assert "\n" not in caught.value.message
        return caught.value

    return write_and_fail


Parse = Callable[..., RowSet]
Refuse = Callable[..., DataError]


def table_of(*rows: dict[str, Any]) -> Table:
    """Return a table as a reader of JSON gives it: a key that an object lacks is None."""
    columns = tuple(dict.fromkeys(key for row in rows for key in row))
    return Table(columns, [{key: row.get(key) for key in columns} for row in rows], "a.jsonl")


@pytest.fixture(scope="session")
def parse() -> Parse:
    """Read rows of a kind: ``parse("document", {"text": "a"}, extras=...)``."""

    def parse_rows(kind: RowKind, *rows: dict[str, Any], **options: Any) -> RowSet:
        section = DataSection(train="a.jsonl", **options)
        return read_rows(table_of(*rows), kind, section, pairs=True, extras=True)[0]

    return parse_rows


@pytest.fixture(scope="session")
def refuse(parse: Parse) -> Refuse:
    """Read rows that must be refused with a DataError of one line; return it."""

    def parse_and_fail(kind: RowKind, *rows: dict[str, Any], **options: Any) -> DataError:
        with pytest.raises(DataError) as caught:
            parse(kind, *rows, **options)
        assert caught.value.path == "a.jsonl"
        assert caught.value.message.startswith("a.jsonl: ")
        assert "\n" not in caught.value.message
        return caught.value

    return parse_and_fail


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Write rows as JSONL; return the path: ``write("a.jsonl", {"text": "a"})``."""

    def write_rows(name: str, *rows: dict[str, Any]) -> str:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(path)

    return write_rows
