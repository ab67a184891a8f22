"""Which reader is chosen, and what is said when none fits."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

import adapterhub_lite_readers
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.data.reading import read_table
from adapterhub_lite.data.table import Table
from adapterhub_lite.errors import DataError, UnknownNameError
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.plugins import PluginSource
from adapterhub_lite.specs import ReaderSpec

Read = Callable[..., Table]
Refused = Callable[..., DataError]


class LockedReader:
    """Meets a file that may not be read."""

    def accepts(self, path: Path) -> bool:
        return False

    def read(self, path: Path, encoding: str) -> Table:
        raise PermissionError(13, "Permission denied", str(path))


def third_party(monkeypatch: pytest.MonkeyPatch, *suffixes: str) -> Catalogue:
    monkeypatch.setitem(sys.modules, "locked", SimpleNamespace(LockedReader=LockedReader))

    class Plugin:
        @staticmethod
        @hookimpl
        def adapterhub_readers() -> list[ReaderSpec]:
            return [
                ReaderSpec(
                    name="locked",
                    summary="Nothing.",
                    implementation="locked:LockedReader",
                    suffixes=suffixes,
                )
            ]

    return Catalogue(
        [
            PluginSource("readers", "adapterhub-lite", "0", lambda: adapterhub_lite_readers),
            PluginSource("locked", "locked", "0", lambda: Plugin),
        ]
    )


def test_the_ending_chooses_the_reader_whatever_its_case(read: Read) -> None:
    assert read("A.CSV", "text,label\nhello,greet\n").columns == ("text", "label")


def test_a_reader_can_be_named(read: Read) -> None:
    table = read("rows.data", '{"text": "hello"}\n', reader="jsonl")
    assert table.rows == [{"text": "hello"}]


def test_a_home_folder_is_expanded(
    tmp_path: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.csv").write_text("text,label\nhello,greet\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(read_table("~/a.csv", catalogue).rows) == 1


def test_a_missing_file_is_refused_with_the_nearest_name(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    (tmp_path / "tickets.csv").write_text("text,label\n")
    with pytest.raises(DataError, match="no such file") as caught:
        read_table(tmp_path / "ticket.csv", catalogue)
    assert caught.value.hint == f"did you mean {tmp_path / 'tickets.csv'}?"


def test_a_missing_folder_is_named(tmp_path: Path, catalogue: Catalogue) -> None:
    with pytest.raises(DataError) as caught:
        read_table(tmp_path / "none" / "a.csv", catalogue)
    assert caught.value.hint == f"the folder {tmp_path / 'none'} does not exist either"


def test_an_unknown_reader_is_refused_with_the_known_ones(read: Read) -> None:
    with pytest.raises(UnknownNameError) as caught:
        read("a.csv", "text,label\na,b\n", reader="parqet")
    assert caught.value.nearest == "parquet"


@pytest.mark.parametrize("name", ["a.txt", "a"])
def test_an_unknown_ending_is_refused_with_the_known_ones(refused: Refused, name: str) -> None:
    error = refused(name, "hello")
    assert "--format" in error.hint
    assert ".csv" in error.hint


def test_a_folder_of_no_known_layout_is_refused(tmp_path: Path, catalogue: Catalogue) -> None:
    with pytest.raises(DataError, match="no reader knows") as caught:
        read_table(tmp_path, catalogue)
    assert "text-folder" in caught.value.hint


def test_a_folder_given_to_a_reader_of_files_is_refused(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    with pytest.raises(DataError, match="is a directory"):
        read_table(tmp_path, catalogue, reader="csv")


def test_a_file_given_to_a_reader_of_folders_is_refused(refused: Refused) -> None:
    assert "not a directory" in refused("a.csv", "text\n", reader="text-folder").message


def test_readers_of_files_accept_no_folder(tmp_path: Path, catalogue: Catalogue) -> None:
    for spec in catalogue.readers.values():
        if not spec.folders:
            assert spec.suffixes
            assert not catalogue.implementation(spec).accepts(tmp_path)


def test_two_readers_for_one_ending_are_an_error_naming_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.csv").write_text("text,label\n")
    with pytest.raises(DataError, match="csv and locked both fit") as caught:
        read_table(tmp_path / "a.csv", third_party(monkeypatch, ".csv"))
    assert "--format csv" in caught.value.hint


def test_the_longest_ending_wins_and_a_locked_file_is_a_data_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.locked.csv").write_text("text,label\n")
    with pytest.raises(DataError, match="cannot be read: permission denied") as caught:
        read_table(tmp_path / "a.locked.csv", third_party(monkeypatch, ".locked.csv"))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet"])
def test_an_empty_file_is_refused(refused: Refused, name: str) -> None:
    message = refused(name, "").message
    assert "empty" in message or "no rows" in message


def test_a_header_alone_is_refused(refused: Refused) -> None:
    assert refused("a.csv", "text,label\n").message.endswith("no rows")


def test_columns_that_occur_twice_are_refused(refused: Refused) -> None:
    assert "twice: 'text'" in refused("a.csv", "text,text,label\na,b,c\n").message


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    code = (
        "import sys, adapterhub_lite.data, adapterhub_lite.data.table, adapterhub_lite_readers\n"
        "heavy = {'numpy', 'scipy', 'pandas', 'pyarrow', 'datasets', 'torch'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
