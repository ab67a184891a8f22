"""The first-party catalogue, and recipes on disk."""

from collections.abc import Callable
from pathlib import Path

import pytest

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.plugins import get_catalogue

WriteRecipe = Callable[[str], Path]


@pytest.fixture
def catalogue() -> Catalogue:
    return get_catalogue(first_party_only=True)


@pytest.fixture
def write_recipe(tmp_path: Path) -> WriteRecipe:
    def write(text: str) -> Path:
        path = tmp_path / "train.yml"
        path.write_text(text, encoding="utf-8")
        return path

    return write
