"""my-plugin finds what is there, says what is not, and leaves other names alone."""

from pathlib import Path

import pytest
from my_plugin import VARIABLE

from adapterhub_lite.errors import BaseModelError
from adapterhub_lite.plugins import load_catalogue
from adapterhub_lite.testing import write_tiny_model


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder with one tiny model in it."""
    write_tiny_model(tmp_path / "tiny")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    return tmp_path


def test_a_model_is_found_by_its_name(models: Path) -> None:
    found = load_catalogue().resolve_base("my-resolver:tiny")
    assert found is not None
    assert Path(found.path) == models / "tiny"


def test_a_model_that_is_not_there_is_said(models: Path) -> None:
    with pytest.raises(BaseModelError, match="no model"):
        load_catalogue().resolve_base("my-resolver:other")


def test_other_names_are_left_to_others(models: Path) -> None:
    assert load_catalogue().resolve_base("not-ours:tiny") is None
