"""Adapters' folders in, one adapter's folder out: what PEFT loads is the sum of what it loaded."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapterhub_lite.errors import AdapterHubError, BaseModelError, CapabilityError, MergeError
from adapterhub_lite.merging.adapters.merge import MergedAdapter, merge_adapters
from adapterhub_lite.merging.engine import Settings
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.streaming.factors import RankChoice
from tests.unit.merging.lora_folders import (
    adapted,
    model_of,
    outputs,
    tiny_base,
    updates_of,
    write_adapter,
)

CATALOGUE = get_catalogue(first_party_only=True)
WEIGHTS = (0.6, -0.3)
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def made(name: str, seed: int, kind: str = "bert", **settings: Any) -> Path:
        return write_adapter(tmp_path / name, tiny_base(kind), seed, **settings)

    return made


def merge(folders: list[Path], out: Path, strategy: str, **options: Any) -> MergedAdapter:
    given = {"model_params": [{"weight": weight} for weight in WEIGHTS], **options}
    return merge_adapters(folders, out, strategy, CATALOGUE, **given)


def weighted(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    zero = torch.zeros(())
    return {
        name: WEIGHTS[0] * first.get(name, zero) + WEIGHTS[1] * second.get(name, zero)
        for name in first.keys() | second.keys()
    }


def worst(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> float:
    assert found.keys() == expected.keys()
    return max(float((found[n] - expected[n]).norm() / expected[n].norm()) for n in expected)


@pytest.mark.parametrize("strategy", ["cat", "linear-exact", "task_arithmetic"])
def test_peft_loads_the_sum(write: Write, tmp_path: Path, strategy: str) -> None:
    folders = [write("a", 1), write("b", 2, r=3)]
    choice = RankChoice(rank=16) if strategy == "task_arithmetic" else None
    done = merge(folders, tmp_path / "out", strategy, rank=choice)
    first, second = (updates_of(folder, tiny_base()) for folder in folders)
    expected = weighted(first, second)
    assert worst(updates_of(tmp_path / "out", tiny_base()), expected) < 1e-5
    assert done.modules.keys() == expected.keys()
    assert max(part.error for part in done.modules.values()) < 1e-5
    # and it answers as the base with the sum in its weights
    plain = model_of(tiny_base())
    for name, update in expected.items():
        plain.get_submodule(name).weight.data += update.float()
    assert torch.allclose(
        outputs(adapted(tmp_path / "out", tiny_base())), outputs(plain), atol=1e-4
    )


SETTINGS: Mapping[str, dict[str, Any]] = {
    "plain": {},
    "rank-stabilised": {"use_rslora": True},
    "patterns": {"rank_pattern": {"query": 2}, "alpha_pattern": {r"layer\.1\..*value": 32}},
    "some layers": {"layers_to_transform": [0, 2]},
    "embeddings": {"target_modules": ["query", "word_embeddings"]},
    "expression": {"target_modules": r".*layer\.[01]\.attention\.self\.key"},
}


@pytest.mark.parametrize("strategy", ["cat", "svd", "linear-exact", "knots", "task_arithmetic"])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_one_adapter_stays_what_it_is(
    write: Write, tmp_path: Path, strategy: str, settings: dict[str, Any]
) -> None:
    folder = write("a", 1, **settings)
    merge([folder], tmp_path / "out", strategy, model_params=[{"weight": 1.0}])
    before, after = (updates_of(where, tiny_base()) for where in (folder, tmp_path / "out"))
    assert worst(after, before) < 1e-5


@pytest.mark.parametrize("strategy", ["cat", "svd", "task_arithmetic"])
def test_transposed_weights(write: Write, tmp_path: Path, strategy: str) -> None:
    targets = {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True}
    folders = [write(str(seed), seed, kind="gpt2", **targets) for seed in (1, 2)]
    merge(
        folders, tmp_path / "out", strategy, rank=RankChoice(rank=8) if strategy != "cat" else None
    )
    first, second = (updates_of(folder, tiny_base("gpt2")) for folder in folders)
    found = updates_of(tmp_path / "out", tiny_base("gpt2"))
    assert worst(found, weighted(first, second)) < 1e-5


def test_adapters_of_different_modules_add_up(write: Write, tmp_path: Path) -> None:
    folders = [write("a", 1, target_modules=["query"]), write("b", 2, target_modules=["key"])]
    merge(folders, tmp_path / "out", "svd")
    first, second = (updates_of(folder, tiny_base()) for folder in folders)
    assert worst(updates_of(tmp_path / "out", tiny_base()), weighted(first, second)) < 1e-5


def test_a_dense_merge_is_approximated_and_says_how_well(write: Write, tmp_path: Path) -> None:
    folders = [write("a", 1), write("b", 2)]
    done = merge(folders, tmp_path / "out", "task_arithmetic", rank=RankChoice(rank=3))
    first, second = (updates_of(folder, tiny_base()) for folder in folders)
    expected, found = weighted(first, second), updates_of(tmp_path / "out", tiny_base())
    for name, part in done.modules.items():
        values = torch.linalg.svdvals(expected[name])
        best = float(values[3:].norm() / values.norm())
        lost = float((found[name] - expected[name]).norm() / expected[name].norm())
        assert part.error == pytest.approx(lost, rel=1e-3)
        assert lost <= 1.01 * best


def test_without_a_rank_a_dense_merge_has_the_largest_of_the_adapters(
    write: Write, tmp_path: Path
) -> None:
    done = merge([write("a", 1), write("b", 2, r=6)], tmp_path / "out", "task_arithmetic")
    assert {part.factors.rank for part in done.modules.values()} == {6}


def test_a_dense_merge_has_no_exact_rank(write: Write, tmp_path: Path) -> None:
    with pytest.raises(CapabilityError, match="full one") as caught:
        merge([write("a", 1), write("b", 2)], tmp_path / "o", "task_arithmetic", rank=RankChoice())
    assert "rank: 32" in caught.value.hint


def test_a_strategy_that_is_no_sum_of_updates_is_refused(write: Write, tmp_path: Path) -> None:
    with pytest.raises(CapabilityError, match="whole weights") as caught:
        merge([write("a", 1), write("b", 2)], tmp_path / "out", "linear")
    assert "extract-lora" in caught.value.hint


@pytest.mark.parametrize("strategy", ["svd", "knots", "task_arithmetic"])
def test_the_same_bytes_from_any_number_of_threads(
    write: Write, tmp_path: Path, strategy: str
) -> None:
    folders = [write("a", 1), write("b", 2)]
    written = []
    for threads, chunk in ((1, 64), (3, 1000), (1, 64)):
        out = tmp_path / f"out{len(written)}"
        settings = Settings(threads=threads, chunk_size=chunk)
        merge(folders, out, strategy, rank=RankChoice(rank=3), settings=settings)
        files = sorted(path for path in out.iterdir())
        written.append([(path.name, path.read_bytes()) for path in files])
    assert written[0] == written[1] == written[2]


def test_modules_of_several_ranks_get_patterns(write: Write, tmp_path: Path) -> None:
    done = merge(
        [write("a", 1), write("b", 2)], tmp_path / "out", "svd", rank=RankChoice(energy=0.7)
    )
    ranks = {name: part.factors.rank for name, part in done.modules.items()}
    assert len(set(ranks.values())) > 1
    model = adapted(tmp_path / "out", tiny_base())
    for name, rank in ranks.items():
        layer = model.base_model.model.get_submodule(name)
        assert layer.r["default"] == rank
        assert layer.scaling["default"] == 1


def test_unless_told_otherwise_settings_are_those_that_peft_takes(
    write: Write, tmp_path: Path
) -> None:
    merge([write("a", 1, use_rslora=True), write("b", 2)], tmp_path / "out", "svd")
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == 4
    assert config["use_rslora"] is False
    assert config["target_modules"] == ["query", "value"]
    assert config["task_type"] == "FEATURE_EXTRACTION"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"lora_bias": True}, "biases"),
        ({"bias": "all"}, "biases"),
    ],
)
def test_what_has_no_factors_is_refused(
    write: Write, tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(CapabilityError, match=words) as caught:
        merge([write("a", 1), write("b", 2, **settings)], tmp_path / "out", "cat")
    assert caught.value.hint
    assert not (tmp_path / "out").exists()


def change_config(folder: Path, **changes: Any) -> Path:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return folder


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"peft_type": "IA3"}, CapabilityError),
        ({"peft_type": "LOHA"}, CapabilityError),
        ({"init_lora_weights": "pissa"}, CapabilityError),
        ({"layer_replication": [[0, 2]]}, CapabilityError),
        ({"r": 5}, BaseModelError),
        ({"r": "four"}, BaseModelError),
        ({"rank_pattern": {"(a+)+$": 4}}, AdapterHubError),
    ],
)
def test_configs_of_other_adapters(
    write: Write, tmp_path: Path, changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        merge([write("a", 1), change_config(write("b", 2), **changes)], tmp_path / "out", "cat")


def test_a_number_that_is_not_finite_is_named(write: Write, tmp_path: Path) -> None:
    file = write("b", 2) / "adapter_model.safetensors"
    state = load_file(file)
    name = next(name for name in state if "layer.1" in name and "lora_B" in name)
    state[name][0, 0] = float("nan")
    save_file(state, file)
    with pytest.raises(MergeError, match=r"layer\.1.*lora_B.* of b "):
        merge([write("a", 1), file.parent], tmp_path / "out", "cat")


def test_half_a_pair_is_refused(write: Write, tmp_path: Path) -> None:
    file = write("b", 2) / "adapter_model.safetensors"
    state = load_file(file)
    del state[next(name for name in state if "lora_B" in name)]
    save_file(state, file)
    with pytest.raises(BaseModelError, match="both of A and B"):
        merge([write("a", 1), file.parent], tmp_path / "out", "cat")


def test_adapters_of_other_bases_are_refused(write: Write, tmp_path: Path) -> None:
    from adapterhub_lite.testing import write_tiny_model

    wide = write_tiny_model(tmp_path / "wide", "bert", hidden_size=64)
    other = write_adapter(tmp_path / "b", wide, 2)
    with pytest.raises(MergeError, match=r"\(32, 32\) in a.* \(64, 64\) in b"):
        merge([write("a", 1), other], tmp_path / "out", "svd")
