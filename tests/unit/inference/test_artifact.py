"""``adapterhub.json``, and which folder a reference means."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from adapterhub_lite.errors import (
    AdapterHubError,
    IntegrityError,
    InvalidNameError,
    NotFoundError,
    UnknownNameError,
)
from adapterhub_lite.inference.artifact import (
    ARTIFACT_FILE,
    ArtifactInfo,
    read_artifact_info,
    write_artifact_info,
)
from adapterhub_lite.inference.loading import load_predictor, resolve_artifact
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite_registry import ManifestDraft, Registry

INFO = ArtifactInfo(task="text-classification", method="full", objective="contrastive")


@pytest.fixture
def registry(home: Path) -> Registry:
    """Hold one version, ``words@1``, of one file."""
    opened = Registry.open(home)
    opened.publish("words", {"card.txt": b"published"}, ManifestDraft(kind="classifier"))
    return opened


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder that has a folder ``words``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "card.txt").write_text("of the folder")
    return tmp_path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_artifact_info(tmp_path, INFO)
    assert read_artifact_info(tmp_path) == INFO
    assert json.loads((tmp_path / ARTIFACT_FILE).read_text()) == {
        "task": "text-classification",
        "method": "full",
        "objective": "contrastive",
        "loader": "fp32",
        "loader_params": {},
        "head": {"kind": "none", "labels": [], "problem": ""},
        "base": None,
        "composition": None,
        "origins": [],
    }


@pytest.mark.parametrize("make", [True, False])
def test_a_folder_without_it_is_no_version(tmp_path: Path, make: bool) -> None:
    folder = tmp_path / "folder"
    if make:
        folder.mkdir()
    with pytest.raises(
        NotFoundError, match=r"is not a trained version: it has no adapterhub\.json"
    ):
        read_artifact_info(folder)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"3", b'"text"', b"null", b"{}", b'{"task": "t", "method": "m"}', b"\xff"],
)
def test_a_damaged_one_is_an_integrity_error_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ARTIFACT_FILE).write_bytes(content)
    with pytest.raises(IntegrityError, match="does not parse") as caught:
        read_artifact_info(tmp_path)
    assert "\n" not in caught.value.message
    assert ARTIFACT_FILE in caught.value.message


def test_a_name_is_the_registrys_though_a_folder_has_it(registry: Registry, here: Path) -> None:
    folder, name = resolve_artifact("words", registry)
    assert name == "words@1"
    assert (folder / "card.txt").read_text() == "published"


@pytest.mark.parametrize("spelling", ["./words", "words/", "{here}/words", "~/words"])
def test_a_path_is_the_folder(
    registry: Registry, here: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    monkeypatch.setenv("HOME", str(here))
    ref = spelling.format(here=here)
    folder, name = resolve_artifact(ref, registry)
    assert (folder, name) == (here / "words", ref)


def test_a_folder_is_not_meant_by_its_bare_name(registry: Registry, here: Path) -> None:
    (here / "other").mkdir()
    with pytest.raises(NotFoundError, match="other"):
        resolve_artifact("other", registry)


@pytest.mark.parametrize(
    ("ref", "error"),
    [
        ("nobody", NotFoundError),
        ("words@9", NotFoundError),
        ("words@prod", NotFoundError),
        ("No Name", InvalidNameError),
        ("", InvalidNameError),
    ],
)
def test_a_reference_to_nothing(
    registry: Registry, here: Path, ref: str, error: type[AdapterHubError]
) -> None:
    with pytest.raises(error):
        resolve_artifact(ref, registry)


def test_a_folder_that_is_missing_is_said_to_be_missing(registry: Registry, here: Path) -> None:
    with pytest.raises(NotFoundError, match="no folder"):
        resolve_artifact("./nowhere", registry)


def test_a_version_that_needs_a_plugin_that_is_not_there(registry: Registry, here: Path) -> None:
    write_artifact_info(here / "words", replace(INFO, method="fulll"))
    with pytest.raises(UnknownNameError, match="unknown method 'fulll'") as caught:
        load_predictor("./words", registry, get_catalogue(first_party_only=True))
    assert caught.value.nearest == "full"
