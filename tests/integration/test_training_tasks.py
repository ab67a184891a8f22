"""Every task through the commands: train, ask, score; and runs that fail on the way."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from adapterhub_lite.testing import TINY_ROWS, write_tiny_model

Ahl = Callable[..., Any]
Train = Callable[..., Any]
Rows = Sequence[Mapping[str, Any]]

TEXTS: Final = [text for text, _ in TINY_ROWS]
LABELLED: Final = [{"text": text, "label": label} for text, label in TINY_ROWS]
CONTEXT: Final = "the pear is sweet and the drill is rusty"
PROMPTED: Final = [{"prompt": f"{text} ", "completion": label} for text, label in TINY_ROWS]
CHATS: Final[Mapping[str, Rows]] = {
    "messages": [
        {
            "messages": [
                {"role": "system", "content": "the tool"},
                {"role": "user", "content": text},
                {"role": "assistant", "content": label},
            ]
        }
        for text, label in TINY_ROWS
    ],
    "sharegpt": [
        {"conversations": [{"from": "human", "value": text}, {"from": "gpt", "value": label}]}
        for text, label in TINY_ROWS
    ],
    "alpaca": [{"instruction": "please", "input": t, "output": label} for t, label in TINY_ROWS],
    "question-answer": [{"question": text, "answer": label} for text, label in TINY_ROWS],
}
CASES: Final[Mapping[str, tuple[str, str, Rows, tuple[str, ...], str]]] = {
    "one label": ("bert", "classification", LABELLED, (), "label"),
    "several labels": (
        *("gpt2", "classification"),
        [
            {"text": text, "label": [label, "word"][: 1 + n % 2]}
            for n, (text, label) in enumerate(TINY_ROWS)
        ],
        ("data.multi_label=true",),
        "labels",
    ),
    "pairs": (
        *("bert", "classification"),
        [
            {"sentence1": a["text"], "sentence2": b["text"], "label": str(a["label"] == b["label"])}
            for a, b in zip(LABELLED, [*LABELLED[1:], LABELLED[0]], strict=True)
        ],
        (),
        "label",
    ),
    "number": (
        *("bert", "regression"),
        [{"text": text, "value": 10.0 * len(text)} for text in TEXTS],
        (),
        "value",
    ),
    "tags": (
        *("bert", "tagging"),
        [
            {"words": text.split(), "tags": ["B-LONG" if len(w) > 5 else "O" for w in text.split()]}
            for text in TEXTS
        ],
        (),
        "tags",
    ),
    "question": (
        *("bert", "question-answering"),
        [
            {
                "question": f"what is {word} please {n}",
                "context": CONTEXT,
                "answers": {"text": [word], "answer_start": [CONTEXT.index(word)]},
            }
            for n in range(4)
            for word in ("pear", "drill", "rusty")
        ],
        ("objective.max_length=32", "objective.stride=8"),
        "answer",
    ),
    "raw text": (
        *("llama", "causal-lm"),
        [{"text": text} for text in TEXTS],
        ("objective.block_size=16", "objective.max_new_tokens=4"),
        "text",
    ),
    "completions": (
        *("gpt2", "sft", PROMPTED),
        ("objective.max_new_tokens=4", "objective.score_generations=true", "method=prompt"),
        "text",
    ),
    **{
        form: (
            "llama",
            "sft",
            rows,
            ("objective.template=plain", "objective.max_new_tokens=4"),
            "text",
        )
        for form, rows in CHATS.items()
    },
    "sources": (
        *("t5", "seq2seq"),
        [{"source": text, "target": label} for text, label in TINY_ROWS],
        ("objective.max_new_tokens=4",),
        "text",
    ),
    "similar": (
        *("bert", "embedding"),
        [
            {"anchor": text, "positive": TEXTS[n - n % 6 + (n + 1) % 6]}
            for n, text in enumerate(TEXTS)
        ],
        (),
        "similarity",
    ),
}
"""What is trained, as: base, objective, rows, settings, and what an answer has."""


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return tiny bases by their type."""
    folder = tmp_path_factory.mktemp("bases")
    made = {name: write_tiny_model(folder / name, name) for name in ("bert", "gpt2", "llama")}
    return made | {"t5": write_tiny_model(folder / "t5", "t5", num_layers=2, num_decoder_layers=2)}


@pytest.fixture
def train(ahl: Ahl, bases: Mapping[str, Path], tmp_path: Path) -> Train:
    """Return a function that writes rows and trains two steps on them."""

    def run(base: str, objective: str, rows: Rows, *sets: str, words: Sequence[str] = ()) -> Any:
        file = tmp_path / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        given = ("method=lora", "objective.max_steps=2", *sets)
        return ahl(
            *("train", "--base", bases[base], "--objective", objective, "--train", file),
            *("--test", file, "--name", "words"),
            *(word for value in given for word in ("--set", value)),
            *words,
        )

    return run


@pytest.mark.parametrize("case", CASES)
def test_a_task_is_trained_asked_and_scored(
    case: str, train: Train, ahl: Ahl, tmp_path: Path
) -> None:
    base, objective, rows, sets, answer = CASES[case]
    trained = train(base, objective, rows, *sets, words=["--json"])
    assert trained.code == 0, trained.err
    assert "arning" not in trained.err
    reported = trained.json["seeds"][0]["test"]["metrics"]
    assert reported

    asked = ahl("predict", "words", "--file", tmp_path / "rows.jsonl", "--json")
    assert (asked.code, asked.err) == (0, ""), asked.err
    assert len(asked.json) == len(rows)
    assert all(answer in given for given in asked.json)

    scored = ahl("eval", "words", "--data", tmp_path / "rows.jsonl", "--json")
    assert scored.code == 0, scored.err
    again = {metric["name"]: metric["value"] for metric in scored.json["versions"][0]["metrics"]}
    assert again == pytest.approx({m["name"]: m["value"] for m in reported}, rel=1e-5, abs=1e-7)


def failed(result: Any, home: Path, ahl: Ahl, *expected: str) -> None:
    """Check that a run ended in one line, code 1, and published and left nothing."""
    assert result.code == 1, result.out + result.err
    (error,) = (line for line in result.err.splitlines() if line.startswith("error: "))
    for part in expected:
        assert part in result.err, result.err
    assert "fault of the program" not in result.err
    assert "Traceback" not in result.err
    assert error
    assert ahl("list", "--json").json == []
    assert not list(home.rglob("*.safetensors"))


def test_a_loss_that_is_no_number_stops_the_run(
    train: Train, ahl: Ahl, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import BertForSequenceClassification

    plain, calls = BertForSequenceClassification.forward, iter(range(100))

    def break_down(self: Any, **inputs: Any) -> Any:
        out = plain(self, **inputs)
        if self.training and next(calls) >= 2:
            out.logits = out.logits * float("nan")
        return out

    monkeypatch.setattr(BertForSequenceClassification, "forward", break_down)
    result = train("bert", "classification", LABELLED, "objective.max_steps=9")
    failed(result, home, ahl, "at step 3", "learning_rate")


def test_an_absurd_rate_stops_the_run(train: Train, ahl: Ahl, home: Path) -> None:
    sets = ("method=full", "objective.optimizer=sgd", "objective.learning_rate=10")
    more = ("objective.max_grad_norm=0", "objective.max_steps=500")
    failed(train("bert", "regression", CASES["number"][2], *sets, *more), home, ahl, "at step")


@pytest.mark.parametrize(
    "moment",
    [
        "loading",
        "training",
        "scoring",
    ],
)
def test_out_of_memory_says_what_to_lower(
    moment: str, train: Train, ahl: Ahl, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import BertForSequenceClassification

    plain = BertForSequenceClassification.forward

    def exhaust(*_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 GB")

    def forward(self: Any, **inputs: Any) -> Any:
        return exhaust() if self.training == (moment == "training") else plain(self, **inputs)

    if moment == "loading":
        monkeypatch.setattr(BertForSequenceClassification, "from_pretrained", exhaust)
    else:
        monkeypatch.setattr(BertForSequenceClassification, "forward", forward)
    lower = {"loading": "nf4", "training": "batch_size: 4", "scoring": "max_length"}[moment]
    failed(train("bert", "classification", LABELLED), home, ahl, "out of memory", lower)


@pytest.mark.parametrize(
    ("policy", "event", "kept", "completions"),
    [("drop", "dropped", 9, 9), ("truncate", "truncated", 18, 0)],
)
def test_long_dialogues_are_counted_and_never_cut_to_nothing(
    policy: str, event: str, kept: int, completions: int, train: Train, home: Path
) -> None:
    long = [{**row, "prompt": "the " * 20 + row["prompt"]} for row in PROMPTED[9:]]
    sets = (f"objective.too_long={policy}", "objective.max_length=16", "objective.min_prompt=4")
    done = train("llama", "sft", [*PROMPTED[:9], *long], *sets)
    assert done.code == 0, done.err
    assert "9 of 18 dialogues" in done.err or "9 of 18 texts" in done.err, "it is said"
    (log,) = home.rglob("events.jsonl")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    (found,) = (one for one in events if one["event"] == event)
    assert (found["rows"], found["of"], found["completions"]) == (9, 18, completions)


def test_a_run_of_another_recipe_is_not_resumed(train: Train, home: Path) -> None:
    assert train("bert", "classification", LABELLED, "objective.checkpoint_every=1").code == 0
    (run,) = (home / "runs").iterdir()
    again = train("bert", "classification", LABELLED, "method.r=4", words=["--resume", str(run)])
    assert again.code == 2
    assert "of another recipe" in again.err
    assert "method.r" in again.err


def test_an_adapter_is_refused_on_another_base_unless_it_is_insisted(
    train: Train, ahl: Ahl, tmp_path: Path
) -> None:
    assert train("bert", "classification", LABELLED).code == 0
    other = write_tiny_model(tmp_path / "other", seed=1)
    refused = ahl("predict", "words", "a pear", "--base", other)
    assert refused.code == 2
    assert "weights" in refused.err
    assert "--any-base" in refused.err
    assert ahl("predict", "words", "a pear", "--base", other, "--any-base").code == 0


@pytest.mark.parametrize(
    ("module", "sets", "extra"),
    [
        ("bitsandbytes", ("loader=nf4",), "quant"),
        ("bitsandbytes.optim", ("objective.optimizer=adamw-8bit",), "quant"),
        ("trackio", ("objective.report_to=[trackio]",), "trackio"),
    ],
)
def test_a_missing_library_gives_its_pip_line(
    module: str, sets: tuple[str, ...], extra: str, train: Train, ahl: Ahl, monkeypatch: Any
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, module, None)
    result = train("bert", "classification", LABELLED, *sets)
    assert result.code == 2, result.err
    assert f"pip install 'adapterhub-lite[{extra}]'" in result.err
    assert ahl("list", "--json").json == []


def test_two_processes_are_refused(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = train("bert", "classification", LABELLED)
    assert result.code == 2
    assert "several processes" in result.err
