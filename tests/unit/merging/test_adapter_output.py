"""What is written of factors and heads, and that PEFT and this project load it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from adapterhub_lite import api
from adapterhub_lite.deployment import ImportChoices, import_folder
from adapterhub_lite.errors import MergeError, RecipeError
from adapterhub_lite.inference.artifact import read_artifact_info
from adapterhub_lite.inference.loading import load_predictor
from adapterhub_lite.merging.adapters.lowrank import recompress
from adapterhub_lite.merging.adapters.merge import MergedAdapter, merge_adapters
from adapterhub_lite.merging.adapters.output import AdapterContent, write_lora
from adapterhub_lite.merging.adapters.updates import compress
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.streaming.factors import Factors, RankChoice
from tests.unit.merging.lora_folders import adapted, model_of, outputs, tiny_base, write_adapter
from tests.unit.merging.test_lowrank import product, some_factors

CATALOGUE = get_catalogue(first_party_only=True)
QUERY = "encoder.layer.{}.attention.self.query"


def square(rank: int, seed: int = 0) -> Factors:
    return some_factors([rank], (32, 32), seed)[0]


def test_every_module_has_its_own_rank_and_a_scaling_of_one(tmp_path: Path) -> None:
    factors = {QUERY.format(layer): square(rank) for layer, rank in enumerate((2, 5, 2))}
    write_lora(tmp_path / "out", AdapterContent(factors=factors))
    model = adapted(tmp_path / "out", tiny_base())
    for name, part in factors.items():
        layer = model.base_model.model.get_submodule(name)
        assert layer.r["default"] == part.rank
        assert layer.scaling["default"] == 1
        assert torch.allclose(layer.get_delta_weight("default").double(), product(part), atol=1e-5)


def test_dense_updates_come_out_as_they_went_in(tmp_path: Path) -> None:
    dense = {QUERY.format(layer): product(square(3, layer)).float() for layer in range(2)}
    found = {name: compress(update, RankChoice(rank=4), name) for name, update in dense.items()}
    content = AdapterContent(factors={name: part.factors for name, part in found.items()})
    write_lora(tmp_path / "out", content)
    plain = model_of(tiny_base())
    for name, update in dense.items():
        plain.get_submodule(name).weight.data += update
    assert torch.allclose(
        outputs(adapted(tmp_path / "out", tiny_base())), outputs(plain), atol=1e-4
    )


def test_a_name_that_ends_as_another_does_keeps_its_own_rank(tmp_path: Path) -> None:
    factors = {"layer.0.q": square(2), "deep.layer.0.q": square(3), "deeplayerX0.q": square(4)}
    write_lora(tmp_path / "out", AdapterContent(factors=factors))
    from peft import LoraConfig, PeftModel

    class Part(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q = torch.nn.Linear(32, 32)

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.ModuleList([Part()])
            self.deep = torch.nn.ModuleDict({"layer": torch.nn.ModuleList([Part()])})
            self.deeplayerX0 = Part()

    assert LoraConfig.from_pretrained(tmp_path / "out").r in (2, 3, 4)
    model = PeftModel.from_pretrained(Model(), tmp_path / "out")
    ranks = {name: model.base_model.model.get_submodule(name).r["default"] for name in factors}
    assert ranks == {name: part.rank for name, part in factors.items()}


def test_the_same_factors_give_the_same_bytes(tmp_path: Path) -> None:
    factors = {QUERY.format(layer): square(layer + 1) for layer in range(3)}
    write_lora(tmp_path / "a", AdapterContent(factors=factors))
    write_lora(tmp_path / "b", AdapterContent(factors=dict(reversed(factors.items()))))
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_factors_in_sixteen_bits(tmp_path: Path) -> None:
    part = recompress([square(3)], [1.0], RankChoice()).factors
    content = AdapterContent(factors={QUERY.format(0): part}, saved={"x.y": torch.ones(2)})
    write_lora(tmp_path / "out", content, "bfloat16")
    state = load_file(tmp_path / "out" / "adapter_model.safetensors")
    kinds = {name: value.dtype for name, value in state.items()}
    assert kinds.pop("base_model.model.x.y") == torch.float32
    assert set(kinds.values()) == {torch.bfloat16}


def test_what_does_not_fit_the_floats_is_refused(tmp_path: Path) -> None:
    part = Factors(torch.ones(1, 32), torch.full((32, 1), 1e6))
    content = AdapterContent(factors={QUERY.format(0): part})
    with pytest.raises(MergeError, match="float16"):
        write_lora(tmp_path / "out", content, "float16")


def test_no_module_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MergeError, match="no module"):
        write_lora(tmp_path / "out", AdapterContent(factors={}))


def test_a_module_without_change_is_zero_of_rank_one(tmp_path: Path) -> None:
    content = AdapterContent(factors={QUERY.format(0): square(0), QUERY.format(1): square(2)})
    write_lora(tmp_path / "out", content)
    layer = adapted(tmp_path / "out", tiny_base()).base_model.model.get_submodule(QUERY.format(0))
    assert layer.r["default"] == 1
    assert float(layer.get_delta_weight("default").norm()) == 0


# --- heads ---

HEADS = {"labels": 3, "modules_to_save": ["classifier"]}


def head_of(folder: Path) -> dict[str, torch.Tensor]:
    state = load_file(folder / "adapter_model.safetensors")
    return {name: value for name, value in state.items() if "lora_" not in name}


def merge(folders: Sequence[Path], out: Path, heads: str = "refuse", **given: Any) -> MergedAdapter:
    return merge_adapters(folders, out, "svd", CATALOGUE, heads=heads, **given)


@pytest.fixture
def classifiers(tmp_path: Path) -> list[Path]:
    return [write_adapter(tmp_path / name, tiny_base(), s, **HEADS) for s, name in enumerate("ab")]


def test_heads_that_differ_are_refused_unless_a_rule_is_given(
    classifiers: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(MergeError, match=r"classifier.* differs between a and b") as caught:
        merge(classifiers, tmp_path / "out")
    assert "keep" in caught.value.hint
    with pytest.raises(RecipeError, match="rule"):
        merge(classifiers, tmp_path / "out", "sum")
    with pytest.raises(RecipeError, match="keep c names none"):
        merge(classifiers, tmp_path / "out", "keep c")


def test_an_averaged_head(classifiers: list[Path], tmp_path: Path) -> None:
    merge(classifiers, tmp_path / "out", "average")
    first, second, found = (head_of(folder) for folder in (*classifiers, tmp_path / "out"))
    assert len(found) == 2
    for name, value in found.items():
        assert torch.allclose(value, (first[name] + second[name]) / 2)


@pytest.mark.parametrize(("rule", "which"), [("keep b", 1), ("keep 1", 0)])
def test_a_head_that_is_kept_is_loaded(
    classifiers: list[Path], tmp_path: Path, rule: str, which: int
) -> None:
    merge(classifiers, tmp_path / "out", rule)
    wanted, found = head_of(classifiers[which]), head_of(tmp_path / "out")
    assert found.keys() == wanted.keys()
    assert all(found[name].equal(wanted[name]) for name in found)
    module = adapted(tmp_path / "out", tiny_base(), labels=3).base_model.model.classifier
    weight = module.modules_to_save["default"].weight
    assert weight.equal(wanted["base_model.model.classifier.weight"])


def test_an_omitted_head_is_not_there(classifiers: list[Path], tmp_path: Path) -> None:
    done = merge(classifiers, tmp_path / "out", "omit")
    assert head_of(tmp_path / "out") == {}
    assert not done.is_version
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["modules_to_save"] is None


def test_equal_heads_need_no_rule(tmp_path: Path) -> None:
    folders = [write_adapter(tmp_path / name, tiny_base(), 5, **HEADS) for name in "ab"]
    merge(folders, tmp_path / "out")
    expected, found = head_of(folders[0]), head_of(tmp_path / "out")
    assert found.keys() == expected.keys()
    assert all(found[name].equal(expected[name]) for name in found)


def test_heads_of_other_sizes_cannot_be_averaged(tmp_path: Path) -> None:
    folders = [
        write_adapter(tmp_path / name, tiny_base(), n, **{**HEADS, "labels": n})
        for name, n in (("a", 3), ("b", 4))
    ]
    with pytest.raises(MergeError, match="cannot be averaged"):
        merge(folders, tmp_path / "out", "average")


# --- versions of ours ---

LABELS = ("red", "green", "blue")


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Import adapters of PEFT's as versions: two with the same labels, one with others."""
    place = tmp_path_factory.mktemp("versions")
    registry = api.open_registry(place / "home")
    found = {}
    for seed, (name, labels) in enumerate((("a", LABELS), ("b", LABELS), ("c", LABELS[::-1]))):
        folder = write_adapter(place / name, tiny_base(), seed, **HEADS)
        choices = ImportChoices(
            base=str(tiny_base()), labels=labels, objective="classification", params={}
        )
        done = import_folder(folder, name, "peft", registry, CATALOGUE, choices=choices)
        found[name] = Path(registry.path(done.version))
    return found


@pytest.mark.parametrize("rule", ["average", "keep b"])
def test_versions_become_a_version(
    versions: dict[str, Path], tmp_path: Path, home: Path, rule: str
) -> None:
    folders = [versions["a"], versions["b"]]
    done = merge(folders, tmp_path / "out", rule, labels=["a", "b"])
    assert done.is_version
    assert not done.notices
    parent, info = (read_artifact_info(folder) for folder in (folders[0], tmp_path / "out"))
    assert info == parent
    predictor = load_predictor(str(tmp_path / "out"), api.open_registry(home), CATALOGUE)
    assert predictor.classes == LABELS
    # it answers as PEFT's own model of the folder does
    model = adapted(tmp_path / "out", tiny_base(), labels=3)
    tokenizer = predictor._scorer.encoder.tokenizer  # type: ignore[attr-defined]
    with torch.no_grad():
        logits = model(**tokenizer(["a text"], return_tensors="pt")).logits
    assert torch.allclose(
        torch.tensor(predictor.predict_proba(["a text"])).float(), logits.softmax(-1), atol=1e-5
    )


def test_versions_of_other_labels_are_not_averaged(
    versions: dict[str, Path], tmp_path: Path
) -> None:
    folders = [versions["a"], versions["c"]]
    with pytest.raises(MergeError, match="different labels"):
        merge(folders, tmp_path / "out", "average", labels=["a", "c"])
    done = merge(folders, tmp_path / "kept", "keep c", labels=["a", "c"])
    assert done.is_version
    assert read_artifact_info(tmp_path / "kept").head.labels == LABELS[::-1]
    assert any("task.json" in notice for notice in done.notices)


def test_a_stranger_among_versions_leaves_a_folder_of_pefts(
    versions: dict[str, Path], classifiers: list[Path], tmp_path: Path
) -> None:
    done = merge([versions["a"], classifiers[1]], tmp_path / "out", "average", labels=["a", "x"])
    assert not done.is_version
    assert done.notices
    assert not (tmp_path / "out" / "adapterhub.json").exists()
    assert outputs(adapted(tmp_path / "out", tiny_base(), labels=3)).isfinite().all()


def test_versions_of_other_bases_are_refused(versions: dict[str, Path], tmp_path: Path) -> None:
    import shutil

    other = shutil.copytree(versions["b"], tmp_path / "other")
    file = other / "adapterhub.json"
    info = json.loads(file.read_text())
    info["base"]["fingerprint"]["weights"] = "0" * 64
    file.write_text(json.dumps(info))
    with pytest.raises(MergeError, match="another base"):
        merge([versions["a"], other], tmp_path / "out", "average", labels=["a", "b"])
