"""``ahl extract-lora``: into a folder, as a version, and what it says."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from safetensors.torch import load_file

from adapterhub_lite import api
from adapterhub_lite.cli.root import cli
from adapterhub_lite.deployment import ImportChoices, import_folder
from adapterhub_lite.deployment.baking import bake
from adapterhub_lite.errors import BaseModelError, CapabilityError, DataError, UserError
from adapterhub_lite.inference.artifact import read_artifact_info
from adapterhub_lite.inference.loading import load_predictor
from adapterhub_lite.merging.extraction.run import extract_adapter
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.streaming.factors import RankChoice
from tests.unit.merging.lora_folders import adapted, tiny_base, write_adapter
from tests.unit.merging.test_extraction import finetuned, of_rank

CATALOGUE = get_catalogue(first_party_only=True)
LABELS = ("red", "green", "blue")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Write a plain fine-tuned model, of which no registry knows."""
    return finetuned(tmp_path / "model", of_rank(3))


@pytest.fixture
def baked(tmp_path: Path, home: Path) -> str:
    """Publish a whole classifier of ours, whose change has rank 4."""
    folder = write_adapter(tmp_path / "a", tiny_base(), 1, labels=3, modules_to_save=["classifier"])
    choices = ImportChoices(
        base=str(tiny_base()), labels=LABELS, objective="classification", params={}
    )
    registry = api.open_registry(home)
    import_folder(folder, "a", "peft", registry, CATALOGUE, choices=choices)
    return str(bake("a", "whole", registry, CATALOGUE).version)


def run(*words: str) -> Any:
    """Run a command in this process; exceptions come through."""
    return cli.main(["extract-lora", *words], standalone_mode=False, prog_name="ahl")


def test_into_a_folder_that_peft_loads(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    run(str(model), "--base", str(tiny_base()), "--rank", "4", "--out", str(out), "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["folder"] == str(out)
    assert len(told["modules"]) == 9
    assert all(part["energy"] > 0.999 for part in told["modules"].values())
    assert told["left_out"] == []
    adapted(out, tiny_base())
    config = json.loads((out / "adapter_config.json").read_text())
    assert config["task_type"] == "FEATURE_EXTRACTION"


def test_what_it_says(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(str(model), "--base", str(tiny_base()), "--energy", "0.9", "--out", str(tmp_path / "o"))
    told = capsys.readouterr().out
    assert "modules     9" in told
    assert "% kept" in told


def test_a_version_becomes_a_version(baked: str, home: Path) -> None:
    registry = api.open_registry(home)
    done = extract_adapter(
        baked, str(tiny_base()), registry, CATALOGUE, RankChoice(rank=4), name="back", alias="prod"
    )
    assert done.version is not None
    assert done.difference is not None
    assert done.difference < 1e-3
    manifest = registry.resolve("back@prod").manifest
    assert manifest.kind == "adapter"
    assert [parent.role for parent in manifest.parents] == ["finetuned"]
    assert manifest.parents[0].digest == registry.resolve(baked).digest
    info = read_artifact_info(Path(registry.path(done.version)))
    assert (info.method, info.head.labels) == ("lora", LABELS)
    before, after = (load_predictor(ref, registry, CATALOGUE) for ref in (baked, "back"))
    assert before.predict_proba(["a text"]) == pytest.approx(
        after.predict_proba(["a text"]), abs=1e-3
    )


@pytest.mark.parametrize(
    ("words", "error", "told"),
    [
        (["--rank", "4"], UserError, "one place"),
        (["--rank", "4", "--out", "o", "--name", "n"], UserError, "one place"),
        (["--out", "o"], CapabilityError, "a rank"),
        (["--rank", "4", "--energy", "0.5", "--out", "o"], CapabilityError, "a rank"),
        (["--rank", "4", "--name", "n"], UserError, "nothing of its task"),
        (["--rank", "4", "--out", "o", "--save-rest", "--allow-rest"], UserError, "exclude"),
        (["--rank", "0", "--out", "o"], click.UsageError, "range"),
    ],
)
def test_options_that_do_not_go_together(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    error: type[Exception],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=told):
        run(str(model), "--base", str(tiny_base()), *words)
    assert not (tmp_path / "o").exists()


def test_a_folder_with_something_in_it_is_left_alone(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("x")
    with pytest.raises(DataError, match="not empty"):
        run(str(model), "--base", str(tiny_base()), "--rank", "4", "--out", str(out))
    assert [path.name for path in out.iterdir()] == ["mine"]


def test_the_rest_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    def change(model: Any) -> None:
        model.embeddings.LayerNorm.weight *= 2
        of_rank(2)(model)

    folder = finetuned(tmp_path / "norms", change)
    words = [str(folder), "--base", str(tiny_base()), "--rank", "4", "--out", str(tmp_path / "o")]
    with pytest.raises(CapabilityError, match="LayerNorm"):
        run(*words)
    assert not (tmp_path / "o").exists()
    run(*words, "--allow-rest")
    adapted(tmp_path / "o", tiny_base())


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    words = ["--base", str(tiny_base()), "--rank", "4", "--out", str(tmp_path / "o")]
    with pytest.raises(BaseModelError, match="nowhere"):
        run(str(tmp_path / "nowhere"), *words)


def test_an_adapter_is_extracted_from_as_the_model_that_it_makes(
    tmp_path: Path, baked: str, home: Path
) -> None:
    registry = api.open_registry(home)
    done = extract_adapter(
        "a", str(tiny_base()), registry, CATALOGUE, RankChoice(rank=2), name="smaller"
    )
    assert {part.factors.rank for part in done.extraction.modules.values()} == {2}
    assert done.version is not None
    parents = registry.resolve("smaller").manifest.parents
    assert [parent.digest for parent in parents] == [registry.resolve("a").digest]
    exact = extract_adapter(
        "a", str(tiny_base()), registry, CATALOGUE, RankChoice(rank=4), name="same"
    )
    assert exact.difference is not None
    assert exact.difference < 1e-3
    before, after = (load_predictor(ref, registry, CATALOGUE) for ref in ("a", "same"))
    assert before.predict_proba(["a text"]) == pytest.approx(
        after.predict_proba(["a text"]), abs=1e-3
    )


def test_a_pickled_model_is_extracted_from_when_it_is_asked_for(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin")
    (model / "model.safetensors").unlink()
    words = [str(model), "--base", str(tiny_base()), "--rank", "4", "--out", str(tmp_path / "o")]
    with pytest.raises(CapabilityError, match="is a pickle"):
        run(*words)
    run(*words, "--convert-pickle")
    assert f"note: {model} is pickled" in capsys.readouterr().err
    adapted(tmp_path / "o", tiny_base())
