"""An adapter is loaded onto the base it was trained on, and onto no other by accident."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite.bases import fingerprint
from adapterhub_lite.errors import BaseModelError
from adapterhub_lite.inference.artifact import (
    ArtifactInfo,
    NeededBase,
    read_artifact_info,
    write_artifact_info,
)
from adapterhub_lite.inference.loading import find_base, load_predictor
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.specs import Head, ResolvedBase
from adapterhub_lite.testing import write_tiny_model
from adapterhub_lite_registry import Registry

Find = Callable[..., ResolvedBase]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("base") / "tiny-bert")


@pytest.fixture
def info(base: Path) -> ArtifactInfo:
    """Return what an adapter on the base says of itself."""
    marks = fingerprint(ResolvedBase(ref=str(base), path=str(base), source="path"))
    return ArtifactInfo(
        task="text-classification",
        method="full",
        objective="contrastive",
        head=Head(kind="sequence-classification", labels=("a", "b"), problem="single-label"),
        base=NeededBase(ref=str(base), fingerprint=marks),
    )


@pytest.fixture
def find(home: Path, tmp_path: Path, info: ArtifactInfo) -> Find:
    registry = Registry.open(home)
    catalogue = get_catalogue(first_party_only=True)

    def run(info: ArtifactInfo = info, **options: Any) -> ResolvedBase:
        return find_base(tmp_path, info, registry, catalogue, **options)

    return run


def change_config(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 1e-5}))


def change_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def change_tokenizer(folder: Path) -> None:
    file = folder / "tokenizer.json"
    file.write_text(file.read_text().replace('"apple"', '"appel"'))


CHANGES = {"config": change_config, "weights": change_weights, "tokenizer": change_tokenizer}


def test_the_needed_base_survives_the_file(tmp_path: Path, info: ArtifactInfo) -> None:
    write_artifact_info(tmp_path, info)
    assert read_artifact_info(tmp_path) == info


def test_a_whole_model_needs_no_base(find: Find, tmp_path: Path, info: ArtifactInfo) -> None:
    found = find(replace(info, base=None))
    assert (found.path, found.source) == (str(tmp_path), "artifact")


def test_the_base_is_found_where_it_was(find: Find, base: Path) -> None:
    assert find().path == str(base)


def test_the_base_may_lie_elsewhere(find: Find, base: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(base, tmp_path / "moved")
    assert find(base=str(moved)).path == str(moved)


def test_a_base_that_is_gone_is_named(find: Find, info: ArtifactInfo) -> None:
    assert info.base is not None
    gone = replace(info, base=replace(info.base, ref="./gone"))
    with pytest.raises(BaseModelError, match=r"\./gone"):
        find(gone)


@pytest.mark.parametrize("part", CHANGES)
def test_another_base_is_refused_and_what_differs_named(
    find: Find, base: Path, tmp_path: Path, part: str
) -> None:
    other = Path(shutil.copytree(base, tmp_path / "other"))
    CHANGES[part](other)
    with pytest.raises(BaseModelError) as caught:
        find(base=str(other))
    assert caught.value.message == (
        f"the adapter was trained on another base than {str(other)!r}: its {part} differ"
    )
    assert "--base" in caught.value.hint
    assert "--any-base" in caught.value.hint
    assert find(base=str(other), any_base=True).path == str(other), "who insists is heard"


def test_all_that_differs_is_named(find: Find, base: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(base, tmp_path / "other"))
    for change in CHANGES.values():
        change(other)
    with pytest.raises(BaseModelError, match="its config and weights and tokenizer differ"):
        find(base=str(other))


def test_a_config_that_is_written_otherwise_is_the_same_base(
    find: Find, base: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(base, tmp_path / "other"))
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(dict(sorted(config.items(), reverse=True))))
    assert find(base=str(other)).path == str(other)


def test_another_base_is_refused_before_a_weight_is_loaded(
    home: Path, base: Path, tmp_path: Path, info: ArtifactInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("adapterhub_lite.transformer.load_transformer", refuse)
    other = Path(shutil.copytree(base, tmp_path / "other"))
    change_weights(other)
    folder = tmp_path / "adapter"
    folder.mkdir()
    write_artifact_info(folder, info)
    with pytest.raises(BaseModelError, match="another base"):
        load_predictor(
            *(str(folder), Registry.open(home), get_catalogue(first_party_only=True)),
            base=str(other),
        )
