"""Runs: whole or not at all, resumed after a kill, the same whatever the threads."""

import os
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import adapterhub_lite
from adapterhub_lite import api
from adapterhub_lite.errors import MergeError, StorageError, UserError
from adapterhub_lite.merging import run as module
from adapterhub_lite.merging import space
from adapterhub_lite.merging.plan import MergePlan
from tests.unit.merging.models import doubles, read_state, write_model


@pytest.fixture
def models(tmp_path: Path) -> list[str]:
    return [str(write_model(tmp_path / f"m{seed}", seed, num_hidden_layers=3)) for seed in range(3)]


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("m"))


def test_a_published_merge_has_its_parents_and_recipe(models: list[str], tmp_path: Path) -> None:
    registry = api.open_registry()
    first = adapterhub_lite.merge(
        {"strategy": "linear", "models": models[:2], "publish": "mean"}, registry=registry
    )
    assert first.version is not None
    assert str(first.version) == "mean@1"
    second = adapterhub_lite.merge(
        {"strategy": "linear", "models": ["mean", models[2]], "publish": "all", "license": "MIT"},
        registry=registry,
    )
    assert second.version is not None
    manifest = second.version.manifest
    assert manifest.kind == "model"
    assert [parent.digest for parent in manifest.parents] == [first.version.digest]
    assert manifest.recipe is not None
    assert manifest.recipe["models"] == ["mean", models[2]]
    assert manifest.license == "MIT"
    found = read_state(registry.path(second.version))
    a, b, c = (doubles(Path(ref)) for ref in models)
    for name in a:
        expected = ((a[name] + b[name]) / 2 + c[name]) / 2
        assert torch.allclose(found[name].double(), expected, atol=1e-6)
    assert not list((registry.home / "merges").iterdir())


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("bfloat16", torch.bfloat16), ("float16", torch.float16), (None, torch.float32)],
)
def test_the_result_has_the_dtype_asked_for(
    models: list[str], tmp_path: Path, dtype: str | None, expected: torch.dtype
) -> None:
    recipe: dict[str, Any] = {"strategy": "linear", "models": models, "output": {"dtype": dtype}}
    adapterhub_lite.merge(recipe, out=tmp_path / "out")
    found = read_state(tmp_path / "out")
    states = [doubles(Path(ref)) for ref in models]
    for name, value in found.items():
        assert value.dtype == expected
        exact = sum(state[name] for state in states) / 3
        assert torch.allclose(value.double(), exact, rtol=2**-8, atol=1e-6)


def test_the_result_is_sharded_as_asked_and_loads(models: list[str], tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    recipe = {"strategy": "linear", "models": models, "output": {"shard_size": "20kB"}}
    adapterhub_lite.merge(recipe, out=tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.safetensors"))) > 2
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    found = read_state(tmp_path / "out")
    assert all(torch.equal(loaded[name], value) for name, value in found.items())


SLOW = """
import sys, time
import adapterhub_lite.merging.writer as writer
writer.SECONDS_PER_ENTRY = 0.0
finish = writer.FolderWriter.finish
def slow(self, name):
    finish(self, name)
    print(name, flush=True)
    time.sleep(float(sys.argv[1]))
writer.FolderWriter.finish = slow
import adapterhub_lite
adapterhub_lite.merge(
    {"strategy": "linear", "models": sys.argv[3:]}, out=sys.argv[2], threads=2
)
"""
"""Merges, and waits after each tensor: seconds, the folder to write, the models."""


def test_a_killed_merge_is_invisible_and_goes_on(models: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, "0.3", str(out), *models], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(5):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not out.exists()
    result = adapterhub_lite.merge({"strategy": "linear", "models": models}, out=out)
    assert 4 <= result.resumed < result.tensors
    assert leftovers(tmp_path) == ["out"]
    other = tmp_path / "other"
    adapterhub_lite.merge({"strategy": "linear", "models": models}, out=other)
    for file in other.glob("*.safetensors"):
        assert (out / file.name).read_bytes() == file.read_bytes()


def test_another_recipe_does_not_go_on_with_it(
    models: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_folder", stop)
        with pytest.raises(KeyboardInterrupt):
            adapterhub_lite.merge({"strategy": "linear", "models": models}, out=tmp_path / "out")
    changed = {"strategy": "linear", "models": [{"ref": models[0], "weight": 5}, *models[1:]]}
    result = adapterhub_lite.merge(changed, out=tmp_path / "out")
    assert result.resumed == 0
    a, b, c = (doubles(Path(ref)) for ref in models)
    for name, value in read_state(tmp_path / "out").items():
        assert torch.allclose(value.double(), (5 * a[name] + b[name] + c[name]) / 7, atol=1e-6)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_broken_input_is_named_and_nothing_is_left(
    models: list[str], tmp_path: Path, number: float
) -> None:
    file = Path(models[1]) / "model.safetensors"
    state = load_file(file)
    state["model.layers.1.mlp.up_proj.weight"][3, 2] = number
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(MergeError, match=r"layers\.1\.mlp\.up_proj\.weight.*m1.*NaN or infinite"):
        adapterhub_lite.merge({"strategy": "linear", "models": models}, out=tmp_path / "out")
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("output", [{}, {"kind": "adapter", "rank": 2, "rest": "omit"}])
def test_a_disk_too_small_is_told_before_a_byte_is_written(
    models: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: dict[str, Any]
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(space.shutil, "disk_usage", lambda _: usage(10**9, 10**9, 10**6))
    recipe = {"strategy": "linear", "base": models[0], "models": models, "output": output}
    with pytest.raises(StorageError, match="the result takes"):
        adapterhub_lite.merge(recipe, out=tmp_path / "out")
    assert leftovers(tmp_path) == []


def test_a_folder_that_is_there_is_left_alone(models: list[str], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="is there already"):
        adapterhub_lite.merge({"strategy": "linear", "models": models}, out=tmp_path / "out")
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"


def test_the_same_merge_does_not_run_twice_at_once(models: list[str], tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, "60", str(tmp_path / "out"), *models],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(UserError, match="running already"):
        adapterhub_lite.merge({"strategy": "linear", "models": models}, out=tmp_path / "out")
    process.kill()
    process.wait()
    process.stdout.close()


def test_threads_and_chunks_change_no_byte(models: list[str], tmp_path: Path) -> None:
    recipe = {"base": models[0], "strategy": "task_arithmetic", "models": models[1:]}
    written = []
    for threads in (1, 3):
        out = tmp_path / f"out{threads}"
        adapterhub_lite.merge(recipe, out=out, threads=threads)
        written.append((out / "model.safetensors").read_bytes())
    assert written[0] == written[1]


def test_a_plain_merge_imports_no_transformers(models: list[str], tmp_path: Path) -> None:
    code = (
        "import sys, adapterhub_lite\n"
        "adapterhub_lite.merge({'strategy': 'linear', 'models': sys.argv[2:]}, out=sys.argv[1])\n"
        "print(sorted({'transformers', 'peft', 'sklearn', 'pandas'} & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out"), *models],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    assert done.stdout.strip() == "[]"


def test_progress_goes_to_the_end(models: list[str], tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    plan = api.plan_merge({"strategy": "linear", "models": models})
    api.run_merge(
        plan, out=tmp_path / "out", progress=lambda done, total: told.append((done, total))
    )
    assert isinstance(plan, MergePlan)
    total = sum(shape.nbytes for shape in plan.shapes.values())
    assert told[-1] == (total, total)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
