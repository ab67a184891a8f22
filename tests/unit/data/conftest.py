"""A catalogue of the first-party readers, as the entry point offers them."""

from collections.abc import Callable
from pathlib import Path

import pytest

import adapterhub_lite_readers
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.data.reading import read_table
from adapterhub_lite.data.table import Table
from adapterhub_lite.errors import DataError
from adapterhub_lite.plugins import PluginSource


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
