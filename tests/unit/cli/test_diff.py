"""``ahl diff``: what a person wants to know of models before merging them."""

import json
import math
import re
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from safetensors.torch import save_file

from adapterhub_lite.cli import diff as diff_command

STATE = {
    "embeddings.word_embeddings.weight": (40, 8),
    "encoder.layer.0.output.dense.weight": (8, 8),
    "encoder.layer.1.output.dense.weight": (8, 8),
    "pooler.dense.weight": (8, 8),
}
CONFIG = {
    "model_type": "bert", "architectures": ["BertModel"], "vocab_size": 40, "hidden_size": 8,
    "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8,
    "max_position_embeddings": 16, "type_vocab_size": 1,
}  # fmt: skip

State = dict[str, torch.Tensor]


def save(folder: Path, state: State) -> str:
    """Write a model folder, and return what a person calls it."""
    folder.mkdir()
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return str(folder)


def save_lora(folder: Path, base: str, seed: int) -> str:
    """Write an adapter as PEFT does, on the first layer's dense part."""
    folder.mkdir()
    generator = torch.Generator().manual_seed(seed)
    place = "base_model.model.encoder.layer.0.output.dense"
    save_file(
        {
            f"{place}.lora_A.weight": torch.randn(2, 8, generator=generator),
            f"{place}.lora_B.weight": torch.randn(8, 2, generator=generator),
        },
        folder / "adapter_model.safetensors",
    )
    config = {
        "peft_type": "LORA", "base_model_name_or_path": base, "r": 2, "lora_alpha": 2,
        "target_modules": ["output.dense"], "bias": "none",
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return str(folder)


def drawn(seed: int, scale: float = 1.0) -> State:
    generator = torch.Generator().manual_seed(seed)
    return {name: scale * torch.randn(shape, generator=generator) for name, shape in STATE.items()}


def moved(base: State, seed: int, scale: float = 0.1) -> State:
    changes = drawn(seed, scale)
    return {name: value + changes[name] for name, value in base.items()}


@pytest.fixture
def base(tmp_path: Path) -> str:
    return save(tmp_path / "base", drawn(0))


@pytest.fixture
def models(tmp_path: Path) -> list[str]:
    """Save three models of the base; the third moved most."""
    scales = (0.1, 0.1, 0.4)
    return [
        save(tmp_path / f"model{n}", moved(drawn(0), n + 1, scale))
        for n, scale in enumerate(scales)
    ]


def test_two_models_are_compared_as_a_table(ahl: Any, base: str, models: list[str]) -> None:
    done = ahl("diff", *models[:2], "--base", base)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == f"base {base}: 4 tensors, 512 numbers compared"
    (row,) = [line.split() for line in lines if line.split()[:2] == ["A", models[0]]]
    assert row[-1] == "full)"
    (pair,) = [line for line in lines if line.strip().startswith("A and B ")]
    assert pair.count("%") == 3
    parts = [line.strip().split("  ")[0] for line in lines if line.count("%") == 4]
    assert parts == ["embeddings", "layer 0", "layer 1", "head"]
    assert "what this suggests (rules of thumb: an evaluation decides)" in lines
    assert "task_arithmetic" in done.out
    assert "because " in done.out
    assert "left out" not in done.out
    told = done.err.splitlines()
    assert len(told) == 2
    assert "20 % of a tensor's entries" in told[0]
    assert "4 of 4 matrices" in told[1]


def test_more_models_come_with_a_matrix_of_cosines(ahl: Any, base: str, models: list[str]) -> None:
    out = ahl("diff", *models, "--base", base).out
    lines = [line.split() for line in out.splitlines()]
    assert ["cosine", "A", "B", "C"] in lines
    (row,) = [line for line in lines if line[:1] == ["C"] and line[-1] == "1.000"]
    assert len(row) == 4
    assert [line[:3] for line in lines if line[1:2] == ["and"] and line[-1:] == ["%"]] == [
        ["A", "and", "B"], ["A", "and", "C"], ["B", "and", "C"],
    ]  # fmt: skip
    assert re.search(r"C changed (3\.\d|4|4\.\d) times as much as [AB]\n", out)


def test_of_many_models_a_layer_has_the_range(ahl: Any, base: str, models: list[str]) -> None:
    out = ahl("diff", *models, *models[:2], "--base", base).out
    (row,) = [line for line in out.splitlines() if line.strip().startswith("layer 0")]
    assert row.count(" to ") == 4
    assert "A and D, B and E: changed in nearly the same direction" in out


def test_the_json_has_everything(ahl: Any, base: str, models: list[str]) -> None:
    done = ahl("diff", *models, "--base", base, "--json")
    found = json.loads(done.out)
    assert (done.code, done.err) == (0, "")
    assert found["base"] == base
    assert found["models"] == models
    assert [part["name"] for part in found["parts"]] == ["embeddings", "layer 0", "layer 1", "head"]
    difference = torch.cat([value.view(-1) for value in drawn(3, 0.4).values()])
    assert found["whole"]["norms"][2] == pytest.approx(float(difference.norm()), rel=1e-5)
    assert found["whole"]["cosines"][0][1] == found["whole"]["cosines"][1][0]
    assert {"finding", "advice", "strategies", "rule"} == set(found["hints"][0])
    assert found["differences"] == []
    assert "picture" not in found


def test_adapters_know_their_base(ahl: Any, tmp_path: Path, base: str) -> None:
    adapters = [save_lora(tmp_path / f"lora{seed}", base, seed) for seed in (1, 2)]
    done = ahl("diff", *adapters, "--json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert found["base"] == base
    rows = {part["name"]: part for part in found["parts"]}
    assert rows["layer 1"]["norms"] == rows["head"]["norms"] == [0.0, 0.0]
    assert max(found["whole"]["effective_ranks"]) <= 2.0
    generator = torch.Generator().manual_seed(1)
    factors = torch.randn(2, 8, generator=generator), torch.randn(8, 2, generator=generator)
    norm = float((factors[1].double() @ factors[0].double()).norm())
    assert rows["layer 0"]["norms"][0] == pytest.approx(norm, rel=1e-6)


def test_adapters_and_models_may_be_mixed(
    ahl: Any, tmp_path: Path, base: str, models: list[str]
) -> None:
    adapter = save_lora(tmp_path / "lora", base, 1)
    done = ahl("diff", adapter, models[0])
    assert done.code == 2
    assert done.err.startswith(f"error: {models[0]} is a whole model, and no base is given")
    found = json.loads(ahl("diff", adapter, models[0], "--base", base, "--json").out)
    assert found["whole"]["unchanged"] == [1 - 64 / 512, 0.0]


def test_adapters_of_different_bases_are_refused_without_one(
    ahl: Any, tmp_path: Path, base: str, models: list[str]
) -> None:
    adapters = [save_lora(tmp_path / f"lora{n}", on, n) for n, on in enumerate((base, models[0]))]
    done = ahl("diff", *adapters)
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[0] == (
        f"error: {adapters[1]} was trained on {models[0]}, and {adapters[0]} on {base}"
    )
    refused = ahl("diff", *adapters, "--base", base)
    assert refused.code == 2
    assert "--any-base" in refused.err
    assert ahl("diff", *adapters, "--base", base, "--any-base").code == 0


def test_an_adapters_base_that_moved_is_the_one_given(ahl: Any, tmp_path: Path, base: str) -> None:
    adapters = [save_lora(tmp_path / f"lora{seed}", base, seed) for seed in (1, 2)]
    moved_to = Path(base).rename(tmp_path / "elsewhere")
    done = ahl("diff", *adapters)
    assert (done.code, done.out) == (2, "")
    assert "is not found" in done.err.splitlines()[0]
    assert ahl("diff", *adapters, "--base", str(moved_to)).code == 0


def test_a_prefix_that_only_some_have_is_no_difference(
    ahl: Any, tmp_path: Path, base: str, models: list[str]
) -> None:
    state = {f"bert.{name}": value for name, value in moved(drawn(0), 1).items()}
    other = save(tmp_path / "other", state | {"classifier.weight": torch.zeros(2, 8)})
    done = ahl("diff", models[0], other, "--base", base, "--json")
    found = json.loads(done.out)
    assert [one["tensor"] for one in found["differences"]] == ["classifier.weight"]
    assert found["whole"]["cosines"][0][1] == pytest.approx(1.0)
    assert any("'bert.'" in notice for notice in found["notices"])


def test_what_is_left_out_is_listed(ahl: Any, tmp_path: Path, base: str, models: list[str]) -> None:
    state = moved(drawn(0), 9)
    state |= {f"classifier.{number}.weight": torch.zeros(2, 8) for number in range(12)}
    other = save(tmp_path / "other", state)
    out = ahl("diff", models[0], other, "--base", base).out
    assert "left out" in out
    assert out.count("not in the base") == 10
    assert "and 2 more; --json has all" in out
    found = json.loads(ahl("diff", models[0], other, "--base", base, "--json").out)
    assert len(found["differences"]) == 12


def test_an_unchanged_model_has_dashes(ahl: Any, base: str, models: list[str]) -> None:
    done = ahl("diff", models[0], base, "--base", base)
    (row,) = [line for line in done.out.splitlines() if line.split()[:2] == ["B", base]]
    assert row.split()[-1] == "-"
    assert "100 %" in row
    assert "B is the base, number for number" in done.out


@pytest.mark.parametrize(
    ("share", "spelt"),
    [
        (0.0, "0 %"), (0.00004, "0.004 %"), (0.0312, "3.1 %"), (0.426, "43 %"),
        (0.999999, "99.99 %"), (0.9956, "99.56 %"), (1.0, "100 %"), (1.414, "141 %"),
    ],
)  # fmt: skip
def test_shares_are_spelt_as_people_read_them(share: float, spelt: str) -> None:
    from adapterhub_lite.cli.diff_output import _percent

    assert _percent(share) == spelt


def test_the_picture_is_drawn_into_a_file(
    ahl: Any, tmp_path: Path, base: str, models: list[str]
) -> None:
    place = tmp_path / "out.png"
    done = ahl("diff", *models[:2], "--base", base, "--picture", str(place))
    assert done.out.rstrip().endswith(f"picture  {place}")
    assert place.read_bytes().startswith(b"\x89PNG")
    assert sorted(file.suffix for file in tmp_path.iterdir() if file.is_file()) == [".png"]


@pytest.mark.parametrize(
    ("place", "told"),
    [("out.svg", "a picture is a PNG: "), ("nowhere/out.png", "there is no folder ")],
)
def test_a_picture_that_cannot_be_written_is_refused_first(
    ahl: Any, tmp_path: Path, base: str, models: list[str], place: str, told: str
) -> None:
    done = ahl("diff", *models[:2], "--base", base, "--picture", str(tmp_path / place))
    assert (done.code, done.out) == (2, "")
    assert told in done.err.splitlines()[0]


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_models_are_refused(
    ahl: Any, base: str, models: list[str], count: int
) -> None:
    done = ahl("diff", *models[:count], "--base", base)
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[0] == ("error: name two models or more: ahl diff A B --base BASE")


def test_whole_models_need_a_base(ahl: Any, models: list[str]) -> None:
    done = ahl("diff", *models[:2])
    assert (done.code, done.out) == (2, "")
    error, hint = done.err.splitlines()
    assert error == f"error: {models[0]} is a whole model, and no base is given"
    assert "--base REF" in hint


def test_a_base_that_is_not_there_is_refused(ahl: Any, tmp_path: Path, models: list[str]) -> None:
    done = ahl("diff", *models[:2], "--base", str(tmp_path / "nowhere"))
    assert (done.code, done.out) == (2, "")
    assert str(tmp_path / "nowhere") in done.err.splitlines()[0]
    assert "hint: " in done.err


def test_another_architecture_is_refused(
    ahl: Any, tmp_path: Path, base: str, models: list[str]
) -> None:
    other = save(tmp_path / "other", {name: torch.zeros(3, 3) for name in STATE})
    done = ahl("diff", models[0], other, "--base", base)
    assert (done.code, done.out) == (2, "")
    error, hint = done.err.splitlines()
    assert error.startswith(f"error: {other} is no descendant of {base}: 4 of 4 tensors differ")
    assert "hint: compare models of one architecture" in hint


def test_a_nan_is_refused_by_name(ahl: Any, tmp_path: Path, base: str, models: list[str]) -> None:
    state = moved(drawn(0), 9)
    state["pooler.dense.weight"][0, 0] = math.nan
    done = ahl("diff", models[0], save(tmp_path / "broken", state), "--base", base)
    assert (done.code, done.out) == (2, "")
    assert "'pooler.dense.weight' of " in done.err.splitlines()[0]
    assert "NaN or infinite" in done.err.splitlines()[0]


def test_a_bar_is_shown_when_it_takes_long(
    ahl: Any, base: str, models: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[int] = []

    class Bar:
        def __init__(self, *_: Any) -> None:
            pass

        def __enter__(self) -> Any:
            return shown.append

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr("adapterhub_lite.cli.progress.counting", Bar)
    ahl("diff", *models[:2], "--base", base)
    assert shown == []
    monkeypatch.setattr(diff_command, "QUIET_SECONDS", -1.0)
    ahl("diff", *models[:2], "--base", base)
    assert shown == [1, 2, 3, 4]


def test_a_narrow_terminal_folds_the_hints(
    ahl: Any, base: str, models: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    out: str = ahl("diff", *models[:2], "--base", base).out
    _, _, told = out.partition("what this suggests")
    assert max(map(len, told.splitlines()[1:])) <= 40


def test_nothing_is_coloured(ahl: Any, base: str, models: list[str]) -> None:
    assert click.unstyle(out := ahl("diff", *models[:2], "--base", base).out) == out
