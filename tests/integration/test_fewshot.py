"""From a few rows to a registered classifier, through the command line."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import adapterhub_lite
from adapterhub_lite import api
from adapterhub_lite.errors import IntegrityError

Ahl = Callable[..., Any]
MEANS = ("precision", "recall", "f1")


@pytest.fixture
def trained(ahl: Ahl, folder: Path, tiny_base: Path) -> Any:
    """Train and publish ``words@1``."""
    result = ahl(
        *("fewshot", "train.csv", "--test", "test.csv", "--base", tiny_base),
        *("--name", "words", "--alias", "prod", "--steps", 20, "--json"),
    )
    assert result.code == 0, result.err
    return result.json


def test_a_csv_becomes_a_registered_usable_classifier(trained: Any, ahl: Ahl) -> None:
    assert trained["version"] == "words@1"
    (seed,) = trained["seeds"]
    assert seed["test"]["rows"] == 6
    assert seed["baseline"]["rows"] == 6
    assert set(seed["candidates"]) == {"frozen", "fine-tuned"}
    assert [row["label"] for row in seed["test"]["classes"]] == ["fruit", "music", "tool"]
    assert np.sum(seed["test"]["confusion"]) == 6
    assert "<h2>Confusion matrix</h2>" in Path(trained["report"]).read_text()
    listed = ahl("list", "--json").json
    assert "words@1" in json.dumps(listed)
    (predicted,) = ahl("predict", "words@prod", "a ripe plum", "--json").json
    assert predicted["label"] in {"fruit", "tool", "music"}
    assert sum(predicted["probabilities"].values()) == pytest.approx(1.0)


def test_the_manifest_tells_the_whole_story(trained: Any, tiny_base: Path) -> None:
    version = api.open_registry().resolve("words@prod")
    manifest = version.manifest
    assert manifest.kind == "model"
    assert manifest.task == "text-classification"
    assert manifest.base is not None
    assert manifest.base.ref == str(tiny_base)
    assert manifest.base.layers == 3
    assert manifest.base.weights_sha256 is not None
    assert manifest.method is not None
    assert (manifest.method.name, manifest.method.plugin) == ("full", "adapterhub-lite")
    assert manifest.dataset is not None
    assert manifest.dataset.rows == 12
    assert manifest.recipe is not None
    assert manifest.recipe["seed"] == 0
    assert manifest.signature is not None
    assert manifest.signature.labels == ("fruit", "music", "tool")
    assert {metric.name for metric in manifest.metrics} >= {"accuracy", "baseline_accuracy"}
    assert manifest.tensors is not None
    assert manifest.tensors.nonfinite == 0


def test_the_registered_recipe_trains_the_same_weights_again(trained: Any, ahl: Ahl) -> None:
    registry = api.open_registry()
    recipe = registry.path(registry.resolve("words@1")) / "recipe.yml"
    again = ahl("train", recipe, "--name", "again", "--json")
    assert again.code == 0, again.err
    first = {f.path: f.sha256 for f in registry.resolve("words").manifest.files}
    second = {f.path: f.sha256 for f in registry.resolve("again").manifest.files}
    for path in first:
        if path.endswith(".safetensors"):
            assert second[path] == first[path], path


def test_another_seed_trains_other_weights_on_the_same_frozen_bytes(
    trained: Any, ahl: Ahl, tiny_base: Path
) -> None:
    result = ahl(
        *("fewshot", "train.csv", "--base", tiny_base, "--name", "other", "--steps", 20),
        *("--seed", 7, "--set", "objective.folds=0", "--json"),
    )
    assert result.code == 0, result.err
    ahl(
        *("fewshot", "train.csv", "--base", tiny_base, "--name", "words", "--steps", 20),
        *("--set", "objective.folds=0"),
    )
    registry = api.open_registry()
    one, two = (
        {f.path: f.sha256 for f in registry.resolve(name).manifest.files}
        for name in ("words", "other")
    )
    assert one["model-00001-of-00002.safetensors"] == two["model-00001-of-00002.safetensors"]
    assert one["model-00002-of-00002.safetensors"] != two["model-00002-of-00002.safetensors"]


def test_only_the_top_layer_changes(trained: Any, ahl: Ahl, tiny_base: Path) -> None:
    from safetensors.torch import load_file

    ahl(
        *("fewshot", "train.csv", "--base", tiny_base, "--name", "top", "--steps", 20),
        *("--set", "objective.folds=0"),
    )
    registry = api.open_registry()
    path = registry.path(registry.resolve("top"))
    after = {n: t for file in path.glob("model-*") for n, t in load_file(file).items()}
    before = load_file(tiny_base / "model.safetensors")
    assert after.keys() == before.keys()
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed
    assert all(name.startswith("encoder.layer.2.") for name in changed)


def test_the_folder_loads_with_transformers_and_sentence_transformers(trained: Any) -> None:
    from sentence_transformers import SentenceTransformer
    from transformers import AutoModel

    registry = api.open_registry()
    path = registry.path(registry.resolve("words"))
    AutoModel.from_pretrained(path)
    texts = ["a ripe plum", "the heavy drill is rusty and sharp"]
    theirs = SentenceTransformer(str(path), device="cpu").encode(texts)
    ours = adapterhub_lite.load("words")
    assert np.allclose(ours._scorer.embed(texts), theirs, atol=1e-6)  # type: ignore[attr-defined]


def test_python_and_command_line_answer_alike(trained: Any, ahl: Ahl, folder: Path) -> None:
    predictor = adapterhub_lite.load("words@prod")
    texts = ["a ripe plum", "the loud choir"]
    ours = predictor.predict(texts)
    (folder / "texts.csv").write_text("text,other\na ripe plum,1\nthe loud choir,2\n")
    printed = ahl("predict", "words", "--file", "texts.csv", "--json").json
    assert [p.label for p in ours] == [p["label"] for p in printed]
    assert [p.score for p in ours] == pytest.approx([p["score"] for p in printed])
    assert ahl("predict", "words", "--file", "texts.csv", "--output", "out.csv").code == 0
    lines = (folder / "out.csv").read_text().splitlines()
    assert lines[0] == "other,text,label,score,p_fruit,p_music,p_tool"
    assert len(lines) == 3


def test_a_text_is_scored_alike_alone_and_in_a_batch(trained: Any) -> None:
    predictor = adapterhub_lite.load("words")
    texts = ["a ripe plum", "the loud choir was very quiet and slow and fast", "drill"]
    together = predictor.predict_proba(texts)
    alone = np.concatenate([predictor.predict_proba([text]) for text in texts])
    assert np.allclose(together, alone, atol=1e-6)


def test_a_flipped_byte_is_refused_on_load(trained: Any, ahl: Ahl, home: Path) -> None:
    blob = max((home / "blobs").rglob("*"), key=lambda p: p.stat().st_size if p.is_file() else 0)
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(content)
    with pytest.raises(IntegrityError, match="words@1"):
        adapterhub_lite.load("words")
    result = ahl("predict", "words", "a plum")
    assert result.code == 1
    assert "words@1" in result.err
    assert ahl("fsck", "--read-data").code == 1


def test_a_version_is_the_base_of_the_next(trained: Any, ahl: Ahl) -> None:
    result = ahl("fewshot", "train.csv", "--base", "words@prod", "--name", "second", "--json")
    assert result.code == 0, result.err
    registry = api.open_registry()
    (parent,) = registry.resolve("second").manifest.parents
    assert parent.digest == registry.resolve("words@1").digest
    assert parent.role == "base"
    assert ahl("rm", "words@1").code == 2, "an alias and a child need it"


def test_several_seeds_give_mean_and_interval(ahl: Ahl, folder: Path, tiny_base: Path) -> None:
    result = ahl(
        *("fewshot", "train.csv", "--test", "test.csv", "--base", tiny_base, "--shots", 3),
        *("--seeds", 3, "--steps", 5, "--name", "seeds", "--json"),
    )
    assert result.code == 0, result.err
    values = [seed["test"]["metrics"][0]["value"] for seed in result.json["seeds"]]
    mean, (low, high) = result.json["over_seeds"]["accuracy"]
    assert len(values) == 3
    assert mean == pytest.approx(np.mean(values))
    assert low <= mean <= high
    best = max(result.json["seeds"], key=lambda seed: seed["selection"])
    assert result.json["published_seed"] == best["seed"]


def test_rows_may_carry_several_labels(ahl: Ahl, folder: Path, tiny_base: Path) -> None:
    rows = [
        {"text": f"{text} and {other}", "labels": sorted({label, more})}
        for (text, label), (other, more) in zip(_ROWS, _ROWS[5:] + _ROWS[:5], strict=True)
    ]
    (folder / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    result = ahl(
        *("fewshot", "rows.jsonl", "--test", "rows.jsonl", "--label", "labels", "--multi-label"),
        *("--base", tiny_base, "--name", "many", "--steps", 10, "--json"),
    )
    assert result.code == 0, result.err
    (seed,) = result.json["seeds"]
    assert seed["test"]["confusion"] is None
    assert {m["name"] for m in seed["test"]["metrics"]} == {
        *("accuracy", "auc", "log_loss", *(f"{a}_{m}" for a in ("macro", "micro") for m in MEANS))
    }
    predictor = adapterhub_lite.load("many")
    assert predictor.multi_label
    (row,) = predictor.predict_proba(["a ripe plum and the loud violin"])
    assert row.sum() != pytest.approx(1.0), "each label has a probability of its own"


_ROWS = [
    ("the apple is sweet", "fruit"),
    ("a juicy plum", "fruit"),
    ("my pear was ripe", "fruit"),
    ("this cherry is ripe", "fruit"),
    ("the hammer is heavy", "tool"),
    ("a sharp saw", "tool"),
    ("my drill was rusty", "tool"),
    ("that bolt is sharp", "tool"),
    ("the violin is loud", "music"),
    ("a slow sonata", "music"),
    ("my choir was quiet", "music"),
    ("this drum is fast", "music"),
]


def test_a_dry_run_shows_all_and_writes_nothing(
    ahl: Ahl, folder: Path, tiny_base: Path, home: Path
) -> None:
    result = ahl("fewshot", "train.csv", "--base", tiny_base, "--name", "w", "--dry-run", "--json")
    assert result.code == 0, result.err
    plan = result.json
    assert plan["recipe"]["objective"]["temperature"] == 0.1
    assert plan["trainable"] == 8_544, "one layer of the tiny BERT"
    assert plan["memory_bytes"]["weights"] == 4 * plan["parameters"]
    assert plan["training_rows"] == 12
    assert len(plan["samples"]) >= 3
    assert not (home / "runs").exists()


def test_the_dry_run_counts_what_then_learns(ahl: Ahl, folder: Path, tiny_base: Path) -> None:
    import torch

    from adapterhub_lite.architecture import read_architecture
    from adapterhub_lite.specs import Head
    from adapterhub_lite.transformer import load_transformer
    from adapterhub_lite_full import FullParams
    from adapterhub_lite_full.method import Full

    for layers in (1, 2, "all"):
        params = FullParams(layers=layers)
        counted = Full().count_trainable(read_architecture(tiny_base, "tiny"), Head(), params)
        attached = Full().attach(load_transformer(tiny_base, Head(), torch.float32, "cpu"), params)
        weights = dict(attached.model.named_parameters())
        assert counted == sum(weights[name].numel() for name in attached.trainable)
        assert {n for n, w in weights.items() if w.requires_grad} == attached.trainable


def test_an_interrupt_publishes_nothing(
    ahl: Ahl, folder: Path, tiny_base: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adapterhub_lite_setfit import tuning

    plain = tuning.supervised_contrastive_loss
    calls = 0

    def interrupted(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 7:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(*arguments)

    monkeypatch.setattr(tuning, "supervised_contrastive_loss", interrupted)
    # tests that were started in the background ignore interrupts
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    result = ahl("fewshot", "train.csv", "--base", tiny_base, "--name", "words")
    signal.signal(signal.SIGINT, before)
    assert result.code == 130
    assert "interrupted: nothing was published" in result.err
    assert ahl("list", "--json").json == []
    (events,) = (home / "runs").glob("*/events.jsonl")
    assert json.loads(events.read_text().splitlines()[-1])["event"] == "failed"
    assert not list((home / "runs").rglob("*.safetensors"))


def test_a_loss_that_is_not_finite_stops_the_run(ahl: Ahl, folder: Path, tiny_base: Path) -> None:
    result = ahl(
        *("fewshot", "train.csv", "--base", tiny_base, "--name", "words"),
        *("--set", "objective.learning_rate=1e38"),
    )
    assert result.code == 1
    assert "step" in result.err
    assert "learning_rate" in result.err
    assert ahl("list", "--json").json == []


def test_an_artifact_that_answers_otherwise_is_not_published(
    ahl: Ahl, folder: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adapterhub_lite_setfit.head import LogisticHead

    plain = LogisticHead.save

    def spoilt(head: LogisticHead, place: Path) -> None:
        plain(LogisticHead(head.classes, False, head.coef[::-1], head.intercept), place)

    monkeypatch.setattr(LogisticHead, "save", spoilt)
    result = ahl("fewshot", "train.csv", "--base", tiny_base, "--name", "words")
    assert result.code == 1
    assert "scores differ by up to" in result.err
    assert ahl("list", "--json").json == []


def test_the_engine_of_setfit_takes_and_leaves_the_same(
    ahl: Ahl, folder: Path, tiny_base: Path
) -> None:
    result = ahl(
        *("fewshot", "train.csv", "--test", "test.csv", "--base", tiny_base, "--name", "words"),
        *("--engine", "setfit", "--steps", 8, "--json"),
    )
    assert result.code == 0, result.err
    assert result.json["kept"] == "fine-tuned"
    registry = api.open_registry()
    version = registry.resolve("words")
    assert version.manifest.file("head.safetensors") is not None
    from safetensors.torch import load_file

    after = load_file(registry.path(version) / "model.safetensors")
    before = load_file(tiny_base / "model.safetensors")
    assert any(not before[name].equal(after[name]) for name in before), "it has learnt"
    assert ahl("predict", "words", "a ripe plum").code == 0
