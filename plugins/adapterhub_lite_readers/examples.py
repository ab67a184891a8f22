"""An example of each format, for the conformance kit: where it lies, and the rows in it."""

import json
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]

TEXTS: Rows = [
    {"text": "où est mon colis, s'il vous plaît ?", "label": "delivery"},
    {"text": 'the invoice says "paid",\nbut I was charged again', "label": "billing"},
    {"text": "Ich möchte kündigen; sofort", "label": "cancellation"},
]


def write_csv(folder: Path) -> tuple[Path, Rows]:
    """Write cells with commas, quotes and a line break in them."""
    return _write_cells(folder / "rows.csv", ",")


def write_tsv(folder: Path) -> tuple[Path, Rows]:
    """Write the same cells between tabs."""
    return _write_cells(folder / "rows.tsv", "\t")


def write_jsonl(folder: Path) -> tuple[Path, Rows]:
    """Write an object a line, one of which lacks a key."""
    rows = [*TEXTS, {"text": "no idea"}]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    return _write(folder / "rows.jsonl", "".join(lines)), [*TEXTS, {**rows[-1], "label": None}]


def write_json(folder: Path) -> tuple[Path, Rows]:
    """Write a list of objects, with numbers and lists."""
    rows = [{**row, "size": len(row["text"]), "parts": [row["label"]]} for row in TEXTS]
    return _write(folder / "rows.json", json.dumps(rows, ensure_ascii=False)), rows


def write_text_folder(folder: Path) -> tuple[Path, Rows]:
    """Write a folder for each label."""
    rows = sorted(TEXTS, key=lambda row: row["label"])
    for row in rows:
        (folder / row["label"]).mkdir()
        _write(folder / row["label"] / "1.txt", row["text"])
    return folder, rows


def write_parquet(folder: Path) -> tuple[Path, Rows]:
    """Write a table by pyarrow."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(TEXTS), path)
    return path, TEXTS


def write_datasets_folder(folder: Path) -> tuple[Path, Rows]:
    """Write what ``save_to_disk`` writes."""
    import datasets

    quiet = datasets.utils.logging.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        datasets.Dataset.from_list(TEXTS).save_to_disk(str(folder))
    finally:
        if quiet:
            datasets.enable_progress_bars()
    return folder, TEXTS


def _write_cells(path: Path, delimiter: str) -> tuple[Path, Rows]:
    records = [("text", "label"), *((row["text"], row["label"]) for row in TEXTS)]
    lines = [delimiter.join(_quoted(cell) for cell in record) for record in records]
    return _write(path, "\r\n".join(lines) + "\r\n"), TEXTS


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path
