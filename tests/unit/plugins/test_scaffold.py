"""A new plugin is a complete distribution, and the tutorials show what it consists of."""

import ast
import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import UserError
from adapterhub_lite.plugins import PluginSource
from adapterhub_lite.scaffold import KINDS, write_plugin

TUTORIALS = Path(__file__).parents[3] / "docs" / "plugins"
BEGIN = re.compile(r"ahl plugins new ([a-z0-9-]+) --kind ([a-z-]+)")


def loaded(file: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import a module from its file, under its own name."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, file.stem, module)  # where dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", KINDS)
def test_a_distribution_is_written_under_its_own_name(kind: str, tmp_path: Path) -> None:
    files = write_plugin("cold-brew", kind, tmp_path / "cold-brew")
    places = {file.relative_to(tmp_path / "cold-brew").as_posix() for file in files}
    assert {"cold_brew.py", "tests/test_cold_brew.py", "pyproject.toml", "README.md"} <= places
    assert {".github/workflows/test.yml", ".gitignore"} <= places
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"\b[Mm]y[-_](?!models)[a-z]|\bMy[A-Z]|SUMMARY|ENTRY_POINTS", text), (
            file
        )
        if file.suffix == ".py":
            ast.parse(text)


@pytest.mark.parametrize("kind", KINDS)
def test_its_entry_point_leads_to_what_it_offers(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_plugin("cold-brew", kind, tmp_path)
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ((group, points),) = project["entry-points"].items()
    ((left, right),) = points.items()
    assert (left, group) == ("cold-brew", KINDS[kind].group)
    module = loaded(tmp_path / "cold_brew.py", monkeypatch)
    if KINDS[kind].target:
        assert getattr(module, right.partition(":")[2]).name == "cold-brew"
        return
    source = PluginSource("cold-brew", "cold-brew", "0.1.0", lambda: module)
    catalogue = Catalogue([source])
    assert [record.status for record in catalogue.records] == ["ok"], catalogue.records[0].error
    assert all(offer.spec.name == "cold-brew" for offer in catalogue.offers)


@pytest.mark.parametrize("name", ["Bias", "bias_tuning", "-bias", "9", "a b", "json", "class", ""])
def test_a_name_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError):
        write_plugin(name, "method", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        write_plugin("bias", "method", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_an_unknown_kind_gets_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        write_plugin("bias", "methods", tmp_path)
    assert "'method'" in caught.value.hint


@pytest.mark.parametrize("kind", KINDS)
def test_the_tutorial_shows_what_is_written(kind: str, tmp_path: Path) -> None:
    page = (TUTORIALS / f"{kind}.md").read_text(encoding="utf-8")
    begun = BEGIN.search(page)
    assert begun is not None
    assert begun[2] == kind
    files = write_plugin(begun[1], kind, tmp_path)
    code = "\n".join(file.read_text(encoding="utf-8") for file in files if file.suffix == ".py")
    blocks = re.findall(r"```python\n(.*?)\n```", page, re.DOTALL)
    assert blocks
    for block in blocks:
        assert block in code, f"{kind}.md shows what `ahl plugins new` does not write:\n{block}"
