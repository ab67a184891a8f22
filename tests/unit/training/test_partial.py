"""Partial training: exactly the chosen weights learn, and only their bytes change."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from adapterhub_lite.architecture import read_architecture
from adapterhub_lite.protocols import Attached, LoadedBase
from adapterhub_lite.specs import Head, HeadKind
from adapterhub_lite.testing import TINY_ROWS, write_tiny_model
from adapterhub_lite.transformer import load_transformer
from adapterhub_lite_full import FullParams
from adapterhub_lite_full.method import Full

TINY_T5 = {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 3,
    "num_heads": 4,
    "decoder_start_token_id": 0,
    "eos_token_id": 3,  # its classifier reads the last [SEP]
}
LABELS = ("fruit", "music", "tool")
CLASSIFY = Head(kind="sequence-classification", labels=LABELS, problem="single-label")
TYPES = ["bert", "roberta", "distilbert", "gpt2", "llama", "t5"]
PATTERNS = {
    "norms": {
        "bert": "*LayerNorm*",
        "roberta": "*LayerNorm*",
        "gpt2": "*.ln_?.*",
        "other": "*norm*",
    },
    "biases": {
        "llama": "*.o_proj.weight",
        "t5": "*.wo.weight",
        "other": "*.bias",
    },  # they have none
    "one layer": {"other": "*.1.*"},
}
SAVED_WITH: dict[str, HeadKind] = {"gpt2": "causal-lm", "llama": "causal-lm", "t5": "seq2seq-lm"}

Tiny = Callable[[str], Path]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Return the folder of a tiny model of a type, written once."""
    place = tmp_path_factory.mktemp("bases")

    def write(model_type: str) -> Path:
        folder = place / model_type
        if folder.exists():
            return folder
        return write_tiny_model(folder, model_type, **(TINY_T5 if model_type == "t5" else {}))

    return write


def attach(folder: Path, params: FullParams, head: Head = CLASSIFY) -> tuple[LoadedBase, Attached]:
    torch.manual_seed(0)
    base = load_transformer(folder, head, torch.float32, "cpu")
    return base, Full().attach(base, params)


def train(attached: Attached, steps: int = 3) -> None:
    """Take real steps on real rows, as an objective does: all parameters are the optimiser's."""
    model: Any = attached.model
    inputs = attached.tokenizer([text for text, _ in TINY_ROWS], return_tensors="pt", padding=True)
    labels = torch.tensor([LABELS.index(label) for _, label in TINY_ROWS])
    kept = {key: inputs[key] for key in ("input_ids", "attention_mask")}
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(steps):
        optimiser.zero_grad()
        model(**kept, labels=labels).loss.backward()
        optimiser.step()


def starts(base: LoadedBase) -> tuple[str, ...]:
    return tuple(f"{name}." for name in base.new)


@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize("what", ["norms", "biases", "one layer"])
def test_only_what_matches_and_the_new_head_change(
    tiny: Tiny, tmp_path: Path, model_type: str, what: str
) -> None:
    pattern = PATTERNS[what].get(model_type) or PATTERNS[what]["other"]
    untouched, _ = attach(tiny(model_type), FullParams())
    before = {name: w.detach().clone() for name, w in untouched.model.named_parameters()}
    expected = {name for name in before if fnmatchcase(name, pattern)}
    assert expected
    base, attached = attach(tiny(model_type), FullParams(parameters=[pattern]))
    new = {name for name in before if name.startswith(starts(base))}
    assert attached.trainable == expected | new
    train(attached)
    Full().save(attached, tmp_path / "out")
    after = load_file(tmp_path / "out" / "model-00002-of-00002.safetensors")
    frozen = load_file(tmp_path / "out" / "model-00001-of-00002.safetensors")
    assert set(after) == attached.trainable
    assert all(frozen[name].equal(before[name]) for name in frozen)
    assert all(not after[name].equal(before[name]) for name in new if name.endswith("weight"))
    assert any(not after[name].equal(before[name]) for name in expected - new)


def test_a_name_may_leave_out_what_the_head_puts_before_it(tiny: Tiny) -> None:
    name = "encoder.layer.2.output.dense.bias"
    _, short = attach(tiny("bert"), FullParams(parameters=[name]))
    _, long = attach(tiny("bert"), FullParams(parameters=[f"bert.{name}"]))
    assert short.trainable == long.trainable
    assert f"bert.{name}" in short.trainable
    _, bare = attach(tiny("bert"), FullParams(parameters=[name]), Head())
    assert bare.trainable == {name}


@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize(
    "params",
    [
        FullParams(),
        FullParams(layers=0),
        FullParams(layers=2),
        FullParams(parameters=["*.1.*", "*weight"]),
    ],
)
def test_the_plan_counts_what_then_learns(tiny: Tiny, model_type: str, params: FullParams) -> None:
    for head in (CLASSIFY, Head(kind=SAVED_WITH.get(model_type, "none"))):
        architecture = read_architecture(tiny(model_type), "x")
        assert Full().check(architecture, head, params) == []
        base, attached = attach(tiny(model_type), params, head)
        weights = dict(base.model.named_parameters())
        learning = {name for name, weight in weights.items() if weight.requires_grad}
        assert learning == attached.trainable
        counted = Full().count_trainable(architecture, head, params)
        assert counted == sum(weights[name].numel() for name in learning)


def test_the_top_layers_of_an_encoder_decoder_are_those_of_both_stacks(tiny: Tiny) -> None:
    _, attached = attach(tiny("t5"), FullParams(layers=1), Head(kind="seq2seq-lm"))
    assert {".".join(name.split(".")[:3]) for name in attached.trainable} == {
        *("encoder.block.2", "decoder.block.2")
    }


@pytest.mark.parametrize("model_type", TYPES)
def test_a_linear_probe_trains_the_head_alone(tiny: Tiny, model_type: str) -> None:
    base, attached = attach(tiny(model_type), FullParams(layers=0))
    before = {name: w.detach().clone() for name, w in base.model.named_parameters()}
    new = {name for name in before if name.startswith(starts(base))}
    assert attached.trainable == new != set()
    train(attached)
    after = dict(attached.model.named_parameters())
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed <= new
    assert changed


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("bert.encoder.layer.2.output.dense.bais", "bert.encoder.layer.2.output.dense.bias"),
        ("bert.encoder.layer.7.output.dense.bias", "bert.encoder.layer."),
    ],
)
def test_a_pattern_that_matches_nothing_is_refused_with_what_there_is(
    tiny: Tiny, pattern: str, meant: str
) -> None:
    architecture = read_architecture(tiny("bert"), "x")
    params = FullParams(parameters=["*.bias", pattern])
    (problem,) = Full().check(architecture, CLASSIFY, params)
    assert problem.startswith(f"no weight is called {pattern!r}; there is '{meant}")
    named = problem.partition("there is '")[2].partition("'")[0]
    assert named in {
        name for name, _ in attach(tiny("bert"), FullParams())[0].model.named_parameters()
    }


@pytest.mark.parametrize("pattern", ["(a+)+$", "[", "*" * 40 + "x", "\\"])
def test_a_pattern_that_is_no_regular_expression_harms_nobody(tiny: Tiny, pattern: str) -> None:
    architecture = read_architecture(tiny("bert"), "x")
    (problem,) = Full().check(architecture, CLASSIFY, FullParams(parameters=[pattern]))
    assert "no weight is called" in problem


def test_layers_and_parameters_are_two_ways_to_say_it() -> None:
    with pytest.raises(ValidationError, match="either 'layers' or 'parameters'"):
        FullParams(layers=1, parameters=["*.bias"])
