"""A folder for each label, with a text in each of its files."""

from pathlib import Path

from adapterhub_lite.data.table import Table
from adapterhub_lite.errors import DataError
from adapterhub_lite_readers.text import read_text

ENDING = ".txt"


class TextFolderReader:
    """Reads ``folder/<label>/*.txt`` as the columns ``text`` and ``label``."""

    def accepts(self, path: Path) -> bool:
        """Accept a folder with a text file in one of its folders."""
        return any(_texts(label) for label in _labels(path))

    def read(self, path: Path, encoding: str) -> Table:
        """Read all texts, in the order of labels and names; raises DataError for stray texts."""
        stray = [file.name for file in _texts(path)]
        if stray:
            raise DataError(
                f"{path}: {stray[0]} lies outside the labels' folders",
                path=str(path),
                hint=f"put each text into a folder named as its label: {path / 'LABEL' / stray[0]}",
            )
        rows = [
            {"text": read_text(file, encoding), "label": label.name}
            for label in _labels(path)
            for file in _texts(label)
        ]
        return Table(("text", "label"), rows, str(path), _notes(path))


def _labels(path: Path) -> list[Path]:
    return sorted(item for item in path.iterdir() if item.is_dir() and _visible(item))


def _texts(folder: Path) -> list[Path]:
    return sorted(item for item in folder.iterdir() if _visible(item) and _is_text(item))


def _is_text(item: Path) -> bool:
    return item.is_file() and item.suffix.casefold() == ENDING


def _visible(item: Path) -> bool:
    return not item.name.startswith(".")


def _notes(path: Path) -> tuple[str, ...]:
    others = [
        item
        for label in _labels(path)
        for item in label.iterdir()
        if _visible(item) and not _is_text(item)
    ]
    if not others:
        return ()
    names = ", ".join(item.name for item in others[:3])
    return (f"{path}: left out, as only {ENDING} files are read: {len(others)} such as {names}",)
