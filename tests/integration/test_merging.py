"""From trained versions to a merged one: published with lineage, answering; what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification

import adapterhub_lite
from adapterhub_lite import api
from adapterhub_lite.probe import answers, difference
from adapterhub_lite.tuners.wrapping import quiet_peft
from tests.integration.conftest import write_csv

Ahl = Callable[..., Any]
METHODS: dict[str, Any] = {
    "one": {"name": "lora", "r": 4},
    "two": {"name": "lora", "r": 6, "use_rslora": True},
    "whole": "full",
}
ROWS = [(f"{word} {n}", word) for n in range(12) for word in ("alpha", "beta", "gamma")]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Path:
    """A registry with two LoRA adapters and a whole model, all of one base and task."""
    place = tmp_path_factory.mktemp("merge-home")
    rows = write_csv(place / "rows.csv", ROWS)
    registry = api.open_registry(place / "home")
    for seed, (name, method) in enumerate(METHODS.items()):
        recipe = {
            "base": str(tiny_base),
            "method": method,
            "objective": {"name": "classification", "max_steps": 6, "learning_rate": 0.01},
            "data": {"train": str(rows)},
            "seed": seed,
            "publish": name,
        }
        adapterhub_lite.train(recipe, registry=registry)
    return place


@pytest.fixture
def merge(ahl: Ahl, home: Path) -> Ahl:
    """Run ``ahl merge`` on that registry."""
    return lambda *words: ahl("merge", *words, "--home", home / "home")


def logits(home: Path, ref: str) -> Any:
    from adapterhub_lite.inference.artifact import read_artifact_info
    from adapterhub_lite.inference.loading import find_base, load_model, resolve_artifact
    from adapterhub_lite.plugins import get_catalogue

    registry, catalogue = api.open_registry(home / "home"), get_catalogue()
    folder, _ = resolve_artifact(ref, registry)
    info = read_artifact_info(folder)
    base = find_base(folder, info, registry, catalogue)
    return answers(load_model(folder, info, base, catalogue, "cpu").model)


def test_adapters_and_a_model_become_a_version_that_answers(
    merge: Ahl, ahl: Ahl, home: Path
) -> None:
    done = merge(
        "one", "two", "whole", "--strategy", "task_arithmetic", "--base", base_of(home),
        "--set", "weight=0.4", "--set", "heads=keep one", "--name", "all", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    registry = api.open_registry(home / "home")
    version = registry.resolve(done.json["version"])
    parents = {parent.digest for parent in version.manifest.parents}
    assert parents == {registry.resolve(name).digest for name in METHODS}
    asked = ahl("predict", "all", "alpha 3", "--home", home / "home", "--json")
    assert asked.code == 0, asked.err
    assert asked.json[0]["label"] in ("alpha", "beta", "gamma")
    card = (registry.path(version) / "README.md").read_text()
    assert "task_arithmetic" in card
    assert "one" in card


def base_of(home: Path) -> str:
    registry = api.open_registry(home / "home")
    base = registry.resolve("one").manifest.base
    assert base is not None
    return base.ref


def test_one_adapter_with_weight_one_is_that_adapter(merge: Ahl, home: Path) -> None:
    for strategy in ("task_arithmetic", "ties"):
        name = f"same-{strategy}".replace("_", "-")
        done = merge("two", "--strategy", strategy, "--name", name)
        assert done.code == 0, done.err
        assert difference(logits(home, "two"), logits(home, name)) < 1e-5


def test_adapters_become_an_adapter_that_peft_loads(merge: Ahl, home: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yml"
    recipe.write_text(
        "strategy: {name: linear-exact, weight: 0.5}\n"
        "models: [one, two]\nheads: keep two\noutput: {kind: adapter}\n"
    )
    done = merge(recipe, "--name", "pair", "--json")
    assert done.code == 0, done.err
    registry = api.open_registry(home / "home")
    version = registry.resolve("pair")
    assert version.manifest.kind == "adapter"
    assert len(version.manifest.parents) == 2
    folder = registry.path(version)
    fresh = AutoModelForSequenceClassification.from_pretrained(base_of(home), num_labels=3)
    with quiet_peft():
        theirs = answers(PeftModel.from_pretrained(fresh, folder).eval())
    assert difference(logits(home, "pair"), theirs) < 1e-5
    model = merge("one", "two", "--strategy", "task_arithmetic", "--set", "weight=0.5",
                  "--set", "heads=keep two", "--name", "pair-model")  # fmt: skip
    assert model.code == 0, model.err
    assert difference(logits(home, "pair-model"), logits(home, "pair")) < 1e-4


def test_a_model_and_an_adapter_become_an_adapter(
    merge: Ahl, ahl: Ahl, home: Path, tmp_path: Path
) -> None:
    """The change is dense: at full rank, with the rest saved, it is that of the merged model."""
    recipe = tmp_path / "recipe.yml"
    recipe.write_text(
        f"base: {base_of(home)}\nstrategy: {{name: task_arithmetic, weight: 0.5}}\n"
        "models: [one, whole]\nheads: keep one\noutput: {kind: adapter, rank: 32}\n"
    )
    refused = merge(recipe, "--name", "mixed-adapter")
    assert refused.code == 2
    assert "output.rest: save" in refused.err
    told = merge(recipe, "--set", "output.rest=save", "--dry-run", "--json")
    assert told.json["rank"] == 32
    assert told.json["bytes_written"] > 0
    done = merge(recipe, "--set", "output.rest=save", "--name", "mixed-adapter", "--json")
    assert done.code == 0, done.err
    worst = max(part["error"] for part in done.json["modules"].values())
    assert worst < 1e-3
    registry = api.open_registry(home / "home")
    version = registry.resolve("mixed-adapter")
    manifest = version.manifest
    assert manifest.kind == "adapter"
    assert manifest.method is not None
    assert manifest.method.name == "lora"
    assert manifest.base == registry.resolve("one").manifest.base
    parents = {parent.digest for parent in manifest.parents}
    assert parents == {registry.resolve(name).digest for name in ("one", "whole")}
    errors: Any = manifest.hyperparameters["merge"]
    assert max(errors["errors"].values()) == pytest.approx(worst)
    made_by = [(part.name, part.plugin) for part in manifest.strategies]
    assert made_by == [(name, "adapterhub-lite") for name in errors["strategies"]]
    assert made_by
    card = (registry.path(version) / "README.md").read_text()
    assert f"{worst:.1e} at most" in card
    model = merge(recipe, "--set", "output={kind: model}", "--name", "mixed-model")
    assert model.code == 0, model.err
    assert difference(logits(home, "mixed-model"), logits(home, "mixed-adapter")) < 1e-3
    fresh = AutoModelForSequenceClassification.from_pretrained(base_of(home), num_labels=3)
    with quiet_peft():
        theirs = answers(PeftModel.from_pretrained(fresh, registry.path(version)).eval())
    assert difference(logits(home, "mixed-adapter"), theirs) < 1e-5
    asked = ahl("predict", "mixed-adapter", "alpha 3", "--home", home / "home", "--json")
    assert asked.code == 0, asked.err


def test_heads_that_differ_are_refused_unless_stated(merge: Ahl, home: Path) -> None:
    refused = merge("one", "two", "--strategy", "task_arithmetic", "--name", "mixed")
    assert refused.code == 2
    assert "heads" in refused.err
    assert "keep" in refused.err
    averaged = merge(
        "one", "two", "--strategy", "task_arithmetic", "--set", "heads=average", "--name", "mixed"
    )
    assert averaged.code == 0, averaged.err


def test_a_dry_run_tells_costs_and_writes_nothing(merge: Ahl, home: Path, tmp_path: Path) -> None:
    told = merge(
        "one", "two", "--strategy", "ties", "--set", "heads=average", "--dry-run", "--json"
    )
    assert told.code == 0, told.err
    assert told.json["strategies"] == ["ties"]
    assert told.json["models"] == ["one", "two"]
    assert told.json["bytes_written"] == 4 * told.json["parameters"]
    assert told.json["bytes_read"] > told.json["bytes_written"]
    plain = merge("one", "two", "--strategy", "ties", "--set", "heads=average", "--dry-run")
    assert "nothing was written" in plain.out
    assert not list((home / "home" / "merges").glob("*")) or plain.code == 0


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_a_search_finds_the_better_weight_and_goes_on(
    merge: Ahl, home: Path, tmp_path: Path, sampler: str
) -> None:
    """The base knows nothing, so the more of a trained model is in it, the better it is."""
    pytest.importorskip("optuna")
    rows = write_csv(tmp_path / "validation.csv", ROWS)
    ranges = {"models.0.weight": [0.0, 1.0], "strategy.lambda": [0.0, 1.0]}
    recipe = {
        "base": base_of(home),
        "strategy": {"name": "task_arithmetic"},
        "models": ["whole"],
        "heads": "keep whole",
        "search": {
            "data": {"train": str(rows)},
            "metric": "log_loss",
            "trials": 4,
            "sampler": sampler,
            "ranges": ranges,
        },
    }
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps(recipe))
    found = api.search_merge(file, registry=api.open_registry(home / "home"))
    assert len(found.trials) == 4
    scores = [trial.score for trial in found.trials if trial.score is not None]
    assert found.best.score == (max(scores) if found.greater_is_better else min(scores))
    assert found.recipe["strategy"]["lambda"] == found.best.values["strategy.lambda"]
    again = merge(file, "--search", "--trials", "6", "--name", f"found-{sampler}", "--json")
    assert again.code == 0, again.err
    assert "of 6 is best" in again.err
    assert (found.folder / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert not list(found.folder.glob("trial-*"))


def test_a_search_finds_the_coefficients_of_adapters(
    merge: Ahl, ahl: Ahl, home: Path, tmp_path: Path
) -> None:
    """LoraHub: few rows weigh adapters, and the result is an adapter of the same task."""
    optuna = pytest.importorskip("optuna")
    few = write_csv(tmp_path / "few.csv", ROWS[:6])
    recipe = tmp_path / "recipe.yml"
    recipe.write_text(
        "strategy: linear-exact\nmodels: [one, two]\nheads: keep one\n"
        "output: {kind: adapter}\nsearch:\n  data: {train: " + f"{few}}}\n  metric: log_loss\n"
        "  trials: 3\n  sampler: cmaes\n  l1: 0.05\n"
        "  ranges: {models.0.weight: [-1.5, 1.5], models.1.weight: [-1.5, 1.5]}\n"
    )
    missing = merge(recipe, "--search", "--set", "search.data.train=absent.csv", "--name", "hub")
    assert missing.code == 2
    assert missing.err.startswith("error: absent.csv: no such file")
    done = merge(recipe, "--search", "--name", "hub", "--json")
    assert done.code == 0, done.err
    assert "of 3 is best" in done.err
    registry = api.open_registry(home / "home")
    manifest = registry.resolve("hub").manifest
    assert manifest.kind == "adapter"
    parents = {parent.digest for parent in manifest.parents}
    assert parents == {registry.resolve(name).digest for name in ("one", "two")}
    found = api.search_merge(recipe, registry=registry)
    weights = [model["weight"] for model in found.recipe["models"]]
    assert weights == [found.best.values[f"models.{n}.weight"] for n in range(2)]
    journal = optuna.storages.journal.JournalFileBackend(str(found.folder / "trials.jsonl"))
    storage = optuna.storages.JournalStorage(journal)
    optuna.load_study(study_name="merge", storage=storage).ask()  # a trial that was killed
    assert api.search_merge(recipe, registry=registry).trials == found.trials
    scored = ahl("eval", "hub", "--data", few, "--metric", "log_loss",
                "--home", home / "home", "--json")  # fmt: skip
    assert scored.code == 0, scored.err
    (metric,) = scored.json["versions"][0]["metrics"]
    assert metric["value"] == pytest.approx(found.best.score, rel=1e-4)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["one", "two"], "--strategy"),
        (["one", "nobody", "--strategy", "ties", "--name", "x"], "nobody"),
        (["one", "two", "--strategy", "teis", "--name", "x"], "did you mean 'ties'"),
        (["one", "two", "--strategy", "ties", "--set", "densty=1", "--name", "x"], "density"),
        (
            ["one", "two", "--strategy", "ties", "--set", "density=2", "--set", "heads=omit"],
            "density",
        ),
        (["one", "two", "--strategy", "cat", "--name", "x"], "output: {kind: adapter}"),
        (["one", "two", "--strategy", "ties", "--set", "heads=average"], "--out"),
        (["absent.yml"], "absent.yml"),
    ],
)
def test_what_is_wrong_is_told_in_a_line_with_the_way_out(
    merge: Ahl, words: list[str], reason: str
) -> None:
    done = merge(*words)
    assert done.code == 2
    assert reason in done.err
    assert "Traceback" not in done.err


def test_merged_in_memory(home: Path) -> None:
    from adapterhub_lite.merging.memory import merge_states
    from adapterhub_lite.plugins import get_catalogue

    states = [{"x": torch.full((3,), float(n))} for n in (1, 2, 6)]
    found = merge_states(states, "linear", get_catalogue(first_party_only=True))
    assert torch.allclose(found["x"], torch.full((3,), 3.0))
