"""Readers with one fault each; what is sound reads a JSON list."""

import json
from pathlib import Path
from typing import Any

from adapterhub_lite.data.table import Table
from adapterhub_lite.errors import DataError
from adapterhub_lite.specs import ReaderSpec
from tests.conformance.broken.entries import Broken

ROWS = [{"text": "où ?", "label": "a"}, {"text": "da", "label": "b"}]


def write_example(folder: Path) -> tuple[Path, list[dict[str, Any]]]:
    path = folder / "rows.lst"
    path.write_text(json.dumps(ROWS, ensure_ascii=False), encoding="utf-8")
    return path, ROWS


def write_folder(folder: Path) -> tuple[Path, list[dict[str, Any]]]:
    write_example(folder)
    return folder, ROWS


class Sound:
    """Reads a list of objects."""

    def accepts(self, path: Path) -> bool:
        return False

    def read(self, path: Path, encoding: str) -> Table:
        try:
            rows = self.parsed(self.decoded(path.read_bytes(), encoding))
        except (ValueError, LookupError, SyntaxError, TypeError) as error:
            raise DataError(f"{path}: {error}", path=str(path)) from error
        return Table(("text", "label"), rows, str(path))

    def decoded(self, content: bytes, encoding: str) -> str:
        return content.decode(encoding)

    def parsed(self, text: str) -> Any:
        return json.loads(text)


class ForgetsTheLast(Sound):
    def parsed(self, text: str) -> Any:
        return json.loads(text)[:-1]


class Leaks(Sound):
    """Lets the library's error through for what is empty."""

    def read(self, path: Path, encoding: str) -> Table:
        if not path.stat().st_size:
            raise EOFError("no data")
        return super().read(path, encoding)


class PutsQuestionMarks(Sound):
    """Reads in UTF-8, come what may."""

    def decoded(self, content: bytes, encoding: str) -> str:
        return content.decode("utf-16" if content[:2] == b"\xff\xfe" else "utf-8")


class Caches(Sound):
    def read(self, path: Path, encoding: str) -> Table:
        table = super().read(path, encoding)
        path.with_suffix(".cache").write_text("read before")
        return table


class Evaluates(Sound):
    def parsed(self, text: str) -> Any:
        rows = eval(text)  # the fault
        if not isinstance(rows, list):
            raise TypeError("no list")
        return rows


class AcceptsAll(Sound):
    def accepts(self, path: Path) -> bool:
        return True

    def read(self, path: Path, encoding: str) -> Table:
        rows = super().read(path / "rows.lst", encoding).rows
        return Table(("text", "label"), rows, str(path))


HERE = f"{__name__}:write_example"


def _broken(fault: str, found: type, check: str, says: str, **more: Any) -> Broken:
    return Broken(
        fault=fault,
        kind="reader",
        spec=ReaderSpec(
            name="broken",
            summary="A list of objects.",
            implementation=f"{__name__}:{found.__name__}",
            suffixes=more.get("suffixes", (".lst",)),
            folders=more.get("folders", False),
        ),
        check=check,
        says=says,
        params=more.get("params", {"example": HERE}),
    )


BROKEN = (
    _broken("gives no example", Sound, "check_example_is_read", "no example", params={}),
    _broken("forgets the last row", ForgetsTheLast, "check_example_is_read", "of 2 rows 1"),
    _broken(
        "has another suffix",
        Sound,
        "check_what_it_reads_is_declared",
        "no suffix fits",
        suffixes=(".list",),
    ),
    _broken(
        "accepts every folder",
        AcceptsAll,
        "check_what_it_reads_is_declared",
        "nothing of its layout",
        suffixes=(),
        folders=True,
        params={"example": f"{__name__}:write_folder"},
    ),
    _broken("lets errors through", Leaks, "check_broken_data_is_refused", "EOFError"),
    _broken("guesses the encoding", PutsQuestionMarks, "check_encoding", "without an error"),
    _broken("caches beside the data", Caches, "check_data_is_unmodified", "changes files"),
    _broken("evaluates", Evaluates, "check_nothing_is_executed", "a Python expression"),
)
