"""Adapters of AdapterHub come in, and answer as the ``adapters`` library did.

The library cannot be installed beside this transformers: ``tests/vectors/adapters`` has folders
that it saved, and what it answered with them.
"""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from numpy.testing import assert_allclose
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

import adapterhub_lite
from adapterhub_lite.bases import resolve_base
from adapterhub_lite.deployment.choices import ImportChoices, import_options
from adapterhub_lite.errors import AdapterHubError
from adapterhub_lite.inference.artifact import read_artifact_info
from adapterhub_lite.inference.loading import load_model
from adapterhub_lite.plugins import load_catalogue
from adapterhub_lite.transformer import quiet_transformers

Ahl = Callable[..., Any]
State = dict[str, torch.Tensor]
VECTORS = Path(__file__).resolve().parents[1] / "vectors/adapters"
CASES = sorted(path.name for path in (VECTORS / "cases").iterdir())
OBJECTIVES = {"gpt2": "causal-lm", "llama": "causal-lm", "t5": "seq2seq", "bart": "seq2seq"}

# PEFT asks models for it
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")


plugins = cache(load_catalogue)


def base_of(case: str) -> Path:
    return VECTORS / "bases" / case.partition("-")[0]


def read(source: Path, case: str, out: Path) -> Path:
    """Let the importer read a folder as if it were that of a case."""
    catalogue = plugins()
    headless = None if (source / "head_config.json").exists() else "embedding"
    objective = OBJECTIVES.get(base_of(case).name, headless)
    choices = ImportChoices(base=str(base_of(case)), objective=objective, convert=True)
    spec = catalogue.importer("adapters")
    out.mkdir()
    options = import_options(choices, spec, adapterhub_lite.open_registry(), catalogue)
    catalogue.implementation(spec).read(source, out, options)
    return out


def difference(folder: Path, case: str) -> float:
    """Return how far the answers of what was read are from the case's."""
    catalogue = plugins()
    base = resolve_base(str(base_of(case)), catalogue, adapterhub_lite.open_registry())
    model = load_model(folder, read_artifact_info(folder), base, catalogue, "cpu").model
    asked = load_file(VECTORS / "cases" / case / "expected.safetensors")
    expected = asked.pop("answer")
    with torch.no_grad():
        off = (model(**asked)[0] - expected).abs()
    if off.dim() == 3 and "decoder_input_ids" not in asked:
        off = off[asked["attention_mask"].bool()]  # what stands at padding is nobody's answer
    return float(off.max())


def changed(case: str, folder: Path, method: Mapping[str, Any] | None = None, **about: Any) -> Path:
    """Copy a case with other settings of its method, and other words around them."""
    shutil.copytree(VECTORS / "cases" / case, folder)
    told = json.loads((folder / "adapter_config.json").read_text())
    told["config"] |= method or {}
    (folder / "adapter_config.json").write_text(json.dumps({**told, **about}))
    return folder


@pytest.mark.parametrize("case", CASES)
def test_the_answers_are_those_of_adapters(case: str, tmp_path: Path) -> None:
    folder = read(VECTORS / "cases" / case, case, tmp_path / "out")
    assert difference(folder, case) < 2e-5
    assert not list(folder.glob("*.bin"))


def test_a_classifier_gives_the_same_probabilities_by_its_labels(ahl: Ahl) -> None:
    source = VECTORS / "cases/bert-seq"
    done = ahl("import", source, "--name", "a", "--base", base_of("bert"), "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["format"], told["labels"]) == ("adapters", ["a", "b", "c"])
    expected = load_file(source / "expected.safetensors")
    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(base_of("bert"))
    texts = [tokenizer.decode(row, skip_special_tokens=True) for row in expected["input_ids"]]
    found = adapterhub_lite.load("a").predict_proba(texts)
    assert_allclose(found, expected["answer"].softmax(-1), atol=1e-5)


def test_a_prefix_leaves_room_for_a_text_of_any_length(ahl: Ahl) -> None:
    options = ("--base", base_of("roberta"), "--convert-pickle")
    done = ahl("import", VECTORS / "cases/roberta-prefix", "--name", "a", *options)
    assert done.code == 0, done.err
    assert len(adapterhub_lite.load("a").predict(["the apple " * 40])) == 1


def test_a_folder_of_an_old_release_is_read(tmp_path: Path) -> None:
    """Its tensors were called otherwise, and its config said less, and of what it did not use."""
    source = changed("bert-seq", tmp_path / "old", type="text_task", version="1.1.1")
    old = ("adapter_residual_before_ln", "leave_out", "ln_after", "ln_before", "mh_adapter",
           "non_linearity", "original_ln_after", "original_ln_before", "output_adapter",
           "reduction_factor", "residual_before_ln")  # fmt: skip
    told = json.loads((source / "adapter_config.json").read_text())
    unused = {"block_type": "nice", "non_linearity": "relu", "reduction_factor": 2}
    told["config"] = {key: told["config"][key] for key in old}
    told["config"] |= {"attention_type": "sent-lvl-dynamic", "new_attention_norm": False}
    told["config"] |= {"invertible_adapter": unused}
    (source / "adapter_config.json").write_text(json.dumps(told))
    state = load_file(source / "adapter.safetensors")
    save_file(
        {name.replace(".adapters.", ".layer_text_task_adapters."): v for name, v in state.items()},
        source / "adapter.safetensors",
    )
    assert difference(read(source, "bert-seq", tmp_path / "out"), "bert-seq") < 2e-5


@pytest.mark.parametrize(("version", "alpha"), [("adapters.1.0.1", 2.0), ("3.2.1", 6.0)])
def test_a_lora_is_scaled_as_its_release_trained_it(
    version: str, alpha: float, tmp_path: Path
) -> None:
    source = changed("bert-lora", tmp_path / "old", version=version)
    folder = read(source, "bert-lora", tmp_path / "out")
    assert json.loads((folder / "adapter_config.json").read_text())["lora_alpha"] == alpha


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("bert-seq", {"original_ln_after": False}, "original_ln_after = False"),
    ("bert-seq", {"ln_before": True}, "ln_before = True"),
    ("bert-seq", {"use_gating": True}, "use_gating = True"),
    ("bert-seq", {"residual_before_ln": False}, "residual_before_ln = False"),
    ("bert-seq", {"residual_before_ln": "post_add"}, "residual_before_ln = 'post_add'"),
    ("bert-seq", {"phm_layer": True}, "phm_layer = True"),
    ("bert-seq", {"scaling": "learned"}, "scaling = 'learned'"),
    ("bert-seq", {"scaling": float("nan")}, "scaling = nan"),
    ("bert-seq", {"inv_adapter": "nice"}, "an invertible adapter"),
    ("bert-seq", {"reduction_factor": {"1": 4, "default": 8}}, "the widths [2, 4]"),
    ("bert-seq", {"reduction_factor": 2}, "on this base it would be"),
    ("bert-seq", {"reduction_factor": 5e-324}, "reduction_factor"),
    ("bert-seq", {"reduction_factor": 0.001}, "on this base it would be"),
    ("bert-seq", {"leave_out": [0]}, "has a bottleneck at"),
    ("bert-seq", {"mh_adapter": True}, "lacks a bottleneck at"),
    ("bert-seq", {"non_linearity": "prelu"}, "the adapter's non-linearity 'prelu'"),
    ("bert-seq", {"run": "this"}, "the setting 'run', which is not known"),
    ("bert-seq", {"architecture": "reft"}, "the adapter's method is 'reft'"),
    ("bert-seq", {"architecture": ["union"]}, "the adapter's method is"),
    ("bert-lora", {"r": 2_000_000}, "r = 2000000"),
    ("bert-lora", {"r": 3}, "says the rank 3"),
    ("bert-lora", {"alpha": "six"}, "alpha = 'six'"),
    ("bert-lora", {"use_dora": True}, "use_dora = True"),
    ("bert-ia3", {"alpha": 2}, "scales by a product"),
    ("bert-prefix", {"prefix_length": 900_000}, "on this base it would be"),
    ("bert-prefix", {"non_linearity": "os.system"}, "the adapter's non-linearity 'os.system'"),
    ("bert-prefix", {"leave_out": [1]}, "a prefix that leaves layers out"),
    ("bert-prefix", {"use_gating": True}, "use_gating = True"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "method", "reason"), REFUSED)
def test_what_computes_otherwise_is_refused_by_its_name(
    case: str, method: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    source = changed(case, tmp_path / "source", method)
    with pytest.raises(AdapterHubError, match=re.escape(reason)):
        read(source, case, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        ({"config": "mam"}, "the adapter's method is 'mam'"),
        ({"config": "seq_bn"}, "on this base it would be"),  # is known, and makes one unit of 16
        ({"name": "other"}, "is no tensor of such an adapter"),
        ({"model_type": "roberta"}, "is of a 'roberta' model"),
        ({"model_type": "deberta"}, "has no equal in transformers"),
        ({"model_type": None}, "model_type = None"),
    ],
)
def test_words_around_the_settings_are_judged_too(
    about: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    source = changed("bert-seq", tmp_path / "source", **about)
    with pytest.raises(AdapterHubError, match=re.escape(reason)):
        read(source, "bert-seq", tmp_path / "out")


def with_infinity(state: State) -> State:
    first = next(iter(state))
    return {**state, first: state[first] * float("inf")}


def with_a_stranger(state: State) -> State:
    return {**state, "bert.embeddings.word_embeddings.weight": torch.zeros(2)}


def without_one(state: State) -> State:
    return dict(list(state.items())[1:])


@pytest.mark.parametrize(
    ("case", "spoil", "reason"),
    [
        ("bert-seq", with_infinity, "not finite"),
        ("bert-seq", with_a_stranger, "is no tensor of such an adapter"),
        ("bert-seq", without_one, "lacks its"),
        ("bert-lora", with_a_stranger, "is no tensor of such an adapter"),
        ("bert-lora", without_one, "lacks one of two factors"),
    ],
)
def test_other_tensors_are_refused(
    case: str, spoil: Callable[[State], State], reason: str, tmp_path: Path
) -> None:
    source = changed(case, tmp_path / "source")
    save_file(spoil(load_file(source / "adapter.safetensors")), source / "adapter.safetensors")
    with pytest.raises(AdapterHubError, match=reason):
        read(source, case, tmp_path / "out")


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"head_type": "tagging"}, "the head ('tagging' on 'bert')"),
        ({"layers": 3}, "the head ('classification' on 'bert')"),
        ({"activation_function": "relu"}, "the head ('classification' on 'bert')"),
        ({"bias": False}, "bias = False"),
        ({"code": "x"}, "the setting 'config.code'"),
    ],
)
def test_other_heads_are_refused(told: dict[str, Any], reason: str, tmp_path: Path) -> None:
    source = changed("bert-seq", tmp_path / "source")
    file = source / "head_config.json"
    about = json.loads(file.read_text())
    file.write_text(json.dumps({**about, "config": {**about["config"], **told}}))
    with pytest.raises(AdapterHubError, match=re.escape(reason)):
        read(source, "bert-seq", tmp_path / "out")


def test_pickles_are_refused_unless_asked_for(ahl: Ahl) -> None:
    source, base = VECTORS / "cases/bert-prefix", base_of("bert")
    told = ahl("import", source, "--name", "a", "--base", base, "--convert-pickle")
    assert "--objective" in told.err
    done = ahl("import", source, "--name", "a", "--base", base, "--objective", "embedding")
    assert done.code == 2
    assert "--convert-pickle" in done.err
