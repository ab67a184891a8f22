"""Parquet files and saved `datasets` folders: Arrow tables that may know their labels' names."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adapterhub_lite.data.table import Table
from adapterhub_lite.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

LIST_TYPES: Final = frozenset({"List", "LargeList", "Sequence"})
"""What `datasets` has called a feature that is a list."""


class ParquetReader:
    """Reads a Parquet file."""

    def accepts(self, path: Path) -> bool:
        """Refuse folders."""
        return False

    def read(self, path: Path, encoding: str) -> Table:
        """Read all rows; raises DataError when the file is no Parquet."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not path.stat().st_size:
            raise DataError(f"{path}: the file is empty", path=str(path))
        try:
            with path.open("rb") as file:
                arrow = pq.ParquetFile(file).read()
        except pa.ArrowException as error:
            problem = str(error).splitlines()[0]
            raise DataError(
                f"{path}: not readable as Parquet: {problem}", path=str(path)
            ) from error
        return _table(arrow, _features(arrow.schema), path)


class DatasetsFolderReader:
    """Reads what ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk`` wrote."""

    def accepts(self, path: Path) -> bool:
        """Accept the folder of one split, or of several."""
        return (path / "state.json").is_file() or (path / "dataset_dict.json").is_file()

    def read(self, path: Path, encoding: str) -> Table:
        """Read all rows of the only split, or of "train"; raises DataError when neither exists."""
        import datasets
        import pyarrow as pa

        folder, notes = _split_folder(path)
        try:
            data = datasets.Dataset.load_from_disk(str(folder))
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            problem = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(
                f"{folder}: not readable as a saved data set: {problem}", path=str(folder)
            ) from error
        arrow = data.with_format("arrow")[:]
        return _table(arrow, data.features.to_dict(), folder, notes)


def _split_folder(path: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the folder of the split to read, and a note when there were others."""
    listing = path / "dataset_dict.json"
    if not listing.is_file():
        return path, ()
    try:
        splits = json.loads(listing.read_text(encoding="utf-8"))["splits"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{listing}: does not list splits", path=str(listing)) from error
    if len(splits) == 1:
        return path / splits[0], ()
    listed = ", ".join(splits)
    if "train" not in splits:
        raise DataError(
            f"{path}: several splits and none is called 'train': {listed or 'none at all'}",
            path=str(path),
            hint=f"give the folder of one: {path / splits[0]}" if splits else "",
        )
    return path / "train", (f"{path}: of the splits {listed}, 'train' is read",)


def _features(schema: "pa.Schema") -> Mapping[str, Any]:
    """Return the features that `datasets` leaves in the metadata of files it writes, if any."""
    try:
        return dict(json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"])
    except (KeyError, ValueError, TypeError):
        return {}


def _table(
    arrow: "pa.Table", features: Mapping[str, Any], path: Path, notes: tuple[str, ...] = ()
) -> Table:
    columns = tuple(arrow.column_names)
    cells = [
        [_named(cell, features.get(name)) for cell in column.to_pylist()]
        for name, column in zip(columns, arrow.columns, strict=True)
    ]
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*cells, strict=True)]
    return Table(columns, rows, str(path), notes)


def _named(cell: Any, feature: Any) -> Any:
    """Replace the numbers of a ClassLabel by their names; -1, its mark for no label, by None."""
    if not isinstance(feature, Mapping):
        return cell
    if feature.get("_type") in LIST_TYPES and isinstance(cell, list):
        return [_named(item, feature.get("feature")) for item in cell]
    names = feature.get("names")
    if feature.get("_type") != "ClassLabel" or not names or not isinstance(cell, int):
        return cell
    return names[cell] if 0 <= cell < len(names) else None
