"""What cannot work is refused before anything is loaded, with the reason and a way out."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from adapterhub_lite.errors import CapabilityError, RecipeError
from adapterhub_lite.specs import HeadKind
from adapterhub_lite_peft import patterns
from adapterhub_lite_peft.method import PeftMethod
from adapterhub_lite_peft.patterns import pattern_reasons
from adapterhub_lite_peft.table import ENTRIES
from tests.unit.peft.conftest import SPECS, Bench, head_of, params_of

METHOD = PeftMethod()
REFUSED: tuple[tuple[str, str, HeadKind, dict[str, Any], str], ...] = (
    ("lora", "bert", "none", {"r": 900_000}, "widest layer has 32 dimensions"),
    ("lora", "bert", "none", {"r": 33}, "widest layer has 32 dimensions"),
    ("lora", "bert", "none", {"rank_pattern": {"query": 64}}, "rank_pattern of 'query' is 64"),
    ("vera", "bert", "none", {"r": 900_000}, "widest layer"),
    ("lora", "bert", "none", {"target_modules": ["q_proj"]}, "dense, key, query, value"),
    ("lora", "bert", "none", {"target_modules": ["query", "valeu"]}, "names 'valeu'"),
    ("lora", "bert", "none", {"target_modules": "nothing"}, "as in '.*dense'"),
    ("lora", "bert", "none", {"target_modules": "(query"}, "no regular expression"),
    ("lora", "bert", "none", {"modules_to_save": ["clasifier"]}, "names 'clasifier'"),
    ("lora", "bert", "none", {"layers_to_transform": [7]}, "no layer 7: it has 2"),
    (
        "loha",
        "bert",
        "none",
        {"target_modules": ".*query", "layers_to_transform": [0]},
        "layers_to_transform does nothing",
    ),
    ("lora", "bert", "none", {"init_lora_weights": "orthogonal", "r": 3}, "even"),
    ("ia3", "modernbert", "none", {}, "name them in target_modules"),
    ("loha", "gpt2", "causal-lm", {}, "Conv1D"),
    ("osf", "gpt2", "causal-lm", {}, "finds nothing"),
    ("c3a", "bert", "none", {"block_size": 7}, "7"),
    ("prefix", "distilbert", "sequence-classification", {}, "prompt and lora work"),
    ("prefix", "modernbert", "sequence-classification", {}, "prompt and lora work"),
    ("prefix", "deberta-v2", "sequence-classification", {}, "prompt and lora work"),
    ("prefix", "mpnet", "none", {}, "prompt and lora work"),
    ("prefix", "bert", "none", {"num_virtual_tokens": 73}, "leave no room"),
    ("prefix", "t5", "sequence-classification", {}, "as a language model only"),
    ("prompt", "gpt2", "sequence-classification", {}, "would read padding"),
    (
        "prompt",
        "bert",
        "sequence-classification",
        {"prompt_tuning_init": "TEXT"},
        "prompt_tuning_init_text",
    ),
    ("trainable-tokens", "bert", "none", {"token_indices": []}, "names no token"),
    ("trainable-tokens", "bert", "none", {"token_indices": [1000]}, "no token 1000"),
    ("multitask-prompt", "bert", "sequence-classification", {}, "a task's number"),
    ("poly", "bert", "sequence-classification", {}, "a task's number"),
    ("cpt", "gpt2", "causal-lm", {}, "the kind of every token"),
    ("xlora", "llama", "causal-lm", {}, "trained before"),
)


@pytest.mark.parametrize(("name", "model_type", "kind", "given_", "reason"), REFUSED)
def test_it_is_refused_with_a_reason(
    bench: Bench, name: str, model_type: str, kind: HeadKind, given_: dict[str, Any], reason: str
) -> None:
    architecture = bench.architecture(model_type)
    reasons = METHOD.check(architecture, head_of(kind), params_of(name, **given_))
    assert len(reasons) == 1
    assert reason in reasons[0]
    assert "\n" not in reasons[0]


@pytest.mark.parametrize("name", ["prompt", "p-tuning"])
def test_virtual_tokens_are_not_offered_where_each_token_has_an_answer(name: str) -> None:
    assert not SPECS[name].heads & {"none", "token-classification", "question-answering"}


def test_a_gigantic_rank_does_not_even_parse() -> None:
    with pytest.raises(ValidationError, match="less than or equal to 1000000"):
        SPECS["lora"].params(r=2_000_000)


WIDE = "(?i:" + "[\x00-\U0010ffff]" * 150 + ")"


@pytest.mark.parametrize(
    "pattern",
    [r"(\w+\.?)+!", r"(a|.|\w)*(x|.)*\d\d!", r"((.*)*)*!", r"(..|.)+!", WIDE],
    ids=["words", "choices", "stars", "doubles", "what takes long to compile"],
)
@pytest.mark.parametrize("field", ["target_modules", "rank_pattern", "layers_pattern"])
def test_an_endless_pattern_is_stopped(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, pattern: str, field: str
) -> None:
    monkeypatch.setattr(patterns, "CPU_SECONDS", 0.1)
    value: Any = {pattern: 4} if field == "rank_pattern" else pattern
    reasons = METHOD.check(
        bench.architecture("bert"), head_of("none"), params_of("lora", **{field: value})
    )
    assert "takes more than 0.1 s" in reasons[0]


def test_malformed_patterns_are_named() -> None:
    params = {"rank_pattern": {"query": 1, "key|(": 2}}
    (reason,) = pattern_reasons(params, ["key"])
    assert "key|(" in reason
    assert "is no regular expression: missing )" in reason


def test_plain_names_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "_try", None)
    plain = {f"model.layers.{layer}.self_attn.q_proj": 4 for layer in range(300)}
    escaped = {rf"layers\.{layer}\.q_proj": 8 for layer in range(300)}
    params = {"target_modules": "q_proj", "rank_pattern": plain | escaped, "modules_to_save": ["a"]}
    assert pattern_reasons(params, ["q_proj"]) == []


@settings(max_examples=25)
@given(st.lists(st.sampled_from(["query", "key", r"\w+", ".*", r"\.", "(a|b)", "x?"]), max_size=5))
def test_patterns_that_end_are_let_through(parts: list[str]) -> None:
    names = ["encoder.layer.0.attention.self.query", "encoder.layer.0.output.dense"]
    assert pattern_reasons({"target_modules": "".join(parts)}, names) == []


def test_adalora_refuses_a_run_shorter_than_its_warmup(bench: Bench) -> None:
    attached = bench.attach("adalora", "bert", tinit=3, tfinal=3)
    assert attached.on_start is not None
    with pytest.raises(RecipeError, match="6 steps, and the run has 6"):
        attached.on_start(6)


def test_a_quantised_head_is_refused(bench: Bench) -> None:
    base = bench.base("bert")
    classifier: Any = base.model.get_submodule("classifier")
    classifier.weight.requires_grad_(False)
    classifier.weight.data = classifier.weight.data.char()
    with pytest.raises(CapabilityError, match="'classifier' is quantised"):
        METHOD.attach(base, params_of("lora"))


def test_virtual_tokens_shorten_the_longest_text(bench: Bench) -> None:
    attached = bench.attach("prefix", "bert", num_virtual_tokens=20)
    assert attached.tokenizer.model_max_length == 60


def test_every_refused_method_declares_no_capability() -> None:
    assert all(not entry.capabilities for entry in ENTRIES.values() if entry.refused)
