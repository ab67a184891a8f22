"""Readers of the usual data files and folders. Nothing they read is ever unpickled."""

from collections.abc import Iterable

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import ConformanceCase, ReaderSpec


@hookimpl
def adapterhub_readers() -> Iterable[ReaderSpec]:
    """Offer the first-party readers."""
    return (
        ReaderSpec(
            name="csv",
            summary="Cells between commas, under a line of names.",
            implementation="adapterhub_lite_readers.delimited:CsvReader",
            suffixes=(".csv",),
        ),
        ReaderSpec(
            name="tsv",
            summary="Cells between tabs, under a line of names.",
            implementation="adapterhub_lite_readers.delimited:TsvReader",
            suffixes=(".tsv", ".tab"),
        ),
        ReaderSpec(
            name="jsonl",
            summary="A JSON object a line.",
            implementation="adapterhub_lite_readers.json_files:JsonlReader",
            suffixes=(".jsonl", ".ndjson"),
        ),
        ReaderSpec(
            name="json",
            summary="A JSON list of objects.",
            implementation="adapterhub_lite_readers.json_files:JsonReader",
            suffixes=(".json",),
        ),
        ReaderSpec(
            name="parquet",
            summary="An Apache Parquet file.",
            implementation="adapterhub_lite_readers.arrow:ParquetReader",
            suffixes=(".parquet", ".pq"),
        ),
        ReaderSpec(
            name="text-folder",
            summary="A folder for each label, with a .txt file for each text.",
            implementation="adapterhub_lite_readers.text_folder:TextFolderReader",
            folders=True,
        ),
        ReaderSpec(
            name="datasets-folder",
            summary="What save_to_disk of a Hugging Face data set writes.",
            implementation="adapterhub_lite_readers.arrow:DatasetsFolderReader",
            folders=True,
        ),
    )


@hookimpl
def adapterhub_conformance() -> Iterable[ConformanceCase]:
    """Say where each reader's example is written."""
    for spec in adapterhub_readers():
        example = f"adapterhub_lite_readers.examples:write_{spec.name.replace('-', '_')}"
        yield ConformanceCase(kind="reader", name=spec.name, params={"example": example})
