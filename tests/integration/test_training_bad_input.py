"""Rows, methods and settings that cannot be trained with: one line each, and nothing published."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from adapterhub_lite.testing import write_tiny_model

Ahl = Callable[..., Any]
Train = Callable[..., Any]
Rows = Sequence[Mapping[str, Any]]

LABELLED = [
    {"text": f"{start} {word}", "label": label}
    for start in ("a", "the", "my", "this")
    for word, label in (("pear", "fruit"), ("drill", "tool"))
]
TAGGED = [{"words": ["the", "pear"], "tags": ["O", "B-FRUIT"]}] * 4
CHAT = [
    {"messages": [{"role": "user", "content": "pear"}, {"role": "assistant", "content": "ripe"}]}
]
COMPLETIONS = [
    {"prompt": "the apple and my pear and the plum is ", "completion": word}
    for word in ("fruit", "sweet", "ripe", "juicy")
]
PAIRS = [
    {"anchor": f"the {word}", "positive": f"my {word}"} for word in ("pear", "saw", "drum", "bolt")
]
QUESTION = {"question": "what is ripe", "context": "the pear is ripe"}
"""Rows of each kind that can be trained on, to spoil one thing at a time."""


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return tiny bases by their type."""
    folder = tmp_path_factory.mktemp("bases")
    types = ("bert", "distilbert", "gpt2", "llama")
    return {name: write_tiny_model(folder / name, name) for name in types}


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no base be loaded."""
    from transformers import PreTrainedModel

    def load(*_: Any, **__: Any) -> None:
        pytest.fail("weights were loaded")

    monkeypatch.setattr(PreTrainedModel, "from_pretrained", load)


@pytest.fixture
def train(ahl: Ahl, bases: Mapping[str, Path], home: Path, tmp_path: Path) -> Train:
    """Return a function that trains on rows, and sees that nothing was published or left."""

    def run(
        base: "str | Path",
        objective: str,
        rows: Rows,
        *sets: str,
        method: str = "lora",
        **flags: Any,
    ) -> Any:
        file = tmp_path / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        words = [word for key, value in flags.items() for word in (f"--{key}", value)]
        words += [word for value in sets for word in ("--set", value)]
        result = ahl(
            *("train", "--base", bases.get(str(base), base), "--method", method),
            *("--objective", objective, "--train", file, "--name", "words", *words),
        )
        assert ahl("list", "--json").json == []
        assert not list(home.rglob("artifact"))
        return result

    return run


def refused(result: Any, *expected: str, code: int = 2) -> None:
    """Check the exit code, the one line of error with its hint, and what they say."""
    assert result.code == code, result.out + result.err
    lines = result.err.splitlines()
    errors = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    assert len(errors) == 1, result.err
    assert all(line.startswith("  hint: ") for line in lines[errors[0] + 1 :]), result.err
    assert "Traceback" not in result.err
    assert "fault of the program" not in result.err
    for part in expected:
        assert part in result.err, result.err


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize(
    ("base", "objective", "rows", "expected"),
    [
        ("bert", "classification", [{"text": ["a"], "label": "x"}], ["row 1", "text"]),
        ("bert", "classification", [{"text": "a", "label": ["x"]}], ["row 1", "multi"]),
        ("bert", "classification", [{"text": "a", "label": {"x": 1}}], ["row 1", "not text"]),
        (
            "bert",
            "tagging",
            [{"words": ["a", "pear"], "tags": ["O"]}],
            ["row 1", "2 words", "1 tag"],
        ),
        ("bert", "tagging", [{"words": ["a"], "tags": [0]}], ["row 1"]),
        ("bert", "tagging", [{"words": 7, "tags": ["O"]}], ["row 1", "words"]),
        ("bert", "regression", [{"text": "a", "value": "many"}], ["row 1", "'many'"]),
        ("bert", "regression", [{"text": "a", "value": "nan"}], ["row 1", "nan"]),
        (
            *("bert", "question-answering"),
            [{**QUESTION, "answers": {"text": ["pear"], "answer_start": [0]}}],
            ["row 1", "pear"],
        ),
        ("bert", "question-answering", [{**QUESTION, "answers": ["plum"]}], ["row 1", "plum"]),
        ("llama", "causal-lm", [{"text": 7.5}, {"text": ["a"]}], ["row", "text"]),
        ("llama", "sft", [{"messages": "hello"}], ["row 1", "messages"]),
        (
            *("llama", "sft"),
            [{"messages": [{"role": "robot", "content": "a"}]}],
            ["row 1", "'robot'", "assistant"],
        ),
        (
            *("llama", "sft"),
            [{"conversations": [{"from": "alien", "value": "a"}]}],
            ["row 1", "'alien'", "human"],
        ),
        ("llama", "sft", [{"messages": CHAT[0]["messages"][:1]}], ["row 1", "assistant"]),
        ("bert", "embedding", [{"anchor": "a", "positive": ["b"]}], ["row 1", "positive"]),
        (
            *("bert", "embedding"),
            [{"sentence1": "a", "sentence2": "the", "score": 4.0}],
            ["row 1", "scale"],
        ),
    ],
)
def test_rows_that_are_not_of_the_objectives_kind(
    base: str, objective: str, rows: Rows, expected: list[str], train: Train
) -> None:
    refused(train(base, objective, rows), *expected)


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize(
    ("base", "objective", "rows", "method", "sets", "expected"),
    [
        ("bert", "classification", LABELLED, "lora", ["method.r=2000000"], ["method.r", "1000000"]),
        ("bert", "classification", LABELLED, "lora", ["method.r=20000"], ["20000", "dimensions"]),
        (
            *("bert", "classification", LABELLED, "lora"),
            ["method.target_modules=([a-z0-9._]+)+Q"],
            ["repeats within a repetition", "list the modules' names"],
        ),
        (
            *("bert", "classification", LABELLED, "lora"),
            ["method.target_modules=nothing"],
            ["'nothing'", "query"],
        ),
        (
            *("bert", "classification", LABELLED, "lora"),
            ["method.target_modules=[query, keys]"],
            ["'keys'", "query"],
        ),
        (
            *("bert", "classification", LABELLED, "bottleneck"),
            ["method.target_modules=[nothing, attention.output.dense]"],
            ["nothing"],
        ),
        ("bert", "classification", LABELLED, "lora", ["method.rr=4"], ["method.rr", "'r'"]),
        (
            *("bert", "classification", LABELLED, "full"),
            ["method.layer=2"],
            ["method.layer", "'layers'"],
        ),
        (
            *("bert", "classification", LABELLED, "lora"),
            ["objective.epoch=2"],
            ["objective.epoch", "'epochs'"],
        ),
        (
            *("distilbert", "classification", LABELLED, "prefix"),
            [],
            ["past keys and values", "prompt", "lora"],
        ),
        ("bert", "tagging", TAGGED, "prompt", [], ["token-classification", "lora"]),
        (
            *("gpt2", "classification", LABELLED, "prompt"),
            [],
            ["virtual tokens", "padding", "lora"],
        ),
        (
            *("bert", "classification", LABELLED, "prefix"),
            ["objective.gradient_checkpointing=true"],
            ["gradient checkpointing", "lora"],
        ),
        (
            *("bert", "classification", LABELLED, "full"),
            ["loader=nf4"],
            ["'full'", "quantised", "lora"],
        ),
        (
            "bert",
            "causal-lm",
            [{"text": "a pear"}],
            "lora",
            [],
            ["causal-lm", "decoder", "encoder"],
        ),
        ("bert", "seq2seq", [{"source": "a", "target": "the"}], "lora", [], ["encoder-decoder"]),
        (
            *("bert", "classification", LABELLED, "lora"),
            ["objective.class_weights=balanced", "objective.resample=balanced"],
            ["class_weights", "resample", "choose one"],
        ),
        (
            *("bert", "classification", LABELLED, "lora"),
            ["objective.learning_rate=.nan"],
            ["objective.learning_rate"],
        ),
        ("bert", "classification", LABELLED, "lora", ["objective.batch_size=0"], ["batch_size"]),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_loaded(
    base: str,
    objective: str,
    rows: Rows,
    method: str,
    sets: list[str],
    expected: list[str],
    train: Train,
) -> None:
    refused(train(base, objective, rows, *sets, method=method), *expected)


@pytest.mark.parametrize(
    ("base", "objective", "rows", "sets", "expected"),
    [
        (
            *("bert", "classification", LABELLED),
            ["objective.precision=fp16"],
            ["fp16 cannot train on a CPU", "bf16"],
        ),
        (
            *("bert", "classification", LABELLED),
            ["loader=fp16"],
            ["fp16", "GPU", "bf16"],
        ),
        (
            *("bert", "classification", LABELLED),
            ["loader={name: bf16, attention: flash}"],
            ["flash", "GPU", "sdpa"],
        ),
        (
            *("bert", "classification", LABELLED),
            ["objective.early_stopping=2"],
            ["early stopping needs validation rows"],
        ),
        (
            *("bert", "classification", LABELLED),
            ["objective.curriculum=difficulty"],
            ["no column 'difficulty'", "length"],
        ),
        (
            *("bert", "embedding", PAIRS),
            ["objective.gradient_accumulation=2"],
            ["gradient accumulation", "batch_size"],
        ),
        ("llama", "sft", CHAT, [], ["no chat template", "template: plain"]),
        (
            *("llama", "sft", CHAT),
            ["objective.template=chatml"],
            ["<|im_start|>", "template: plain"],
        ),
        (
            *("llama", "sft", COMPLETIONS),
            ["objective.max_length=8", "objective.min_prompt=4", "objective.template=plain"],
            ["4 of 4 dialogues are longer than 8 tokens", "drop or truncate"],
        ),
        (
            *("llama", "sft", COMPLETIONS),
            ["objective.max_length=8", "objective.min_prompt=4", "objective.too_long=drop"],
            ["no dialogue is left", "max_length"],
        ),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="says what a machine without a GPU cannot do")
def test_what_only_training_finds_out(
    base: str, objective: str, rows: Rows, sets: list[str], expected: list[str], train: Train
) -> None:
    refused(train(base, objective, rows, *sets), *expected)
