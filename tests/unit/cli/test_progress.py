"""What a run tells while it goes on, where nobody watches a terminal."""

import io
from typing import Any

import pytest
from rich.console import Console

from adapterhub_lite.cli.progress import RunProgress


def told(*events: dict[str, Any], terminal: bool = False) -> list[str]:
    stream = io.StringIO()
    with RunProgress(Console(file=stream, force_terminal=terminal, width=200)) as progress:
        for event in events:
            progress({"time": 0.0, "seed": 0, **event})
    return [line.strip() for line in stream.getvalue().splitlines()]


def step(done: int, total: int, **figures: float) -> dict[str, Any]:
    return {"event": "step", "stage": "train", "done": done, "total": total, **figures}


def test_every_tenth_of_the_way_is_told_with_its_loss() -> None:
    lines = told(*(step(n, 100, loss=2 / n, learning_rate=1e-4) for n in range(1, 101)))
    assert lines[0] == "training …"
    assert len(lines) == 11
    assert lines[5].startswith("training: 50 %, step 50 of 100: loss 0.04, rate 1.00e-04, ")
    assert all("steps/s" in line for line in lines[1:])


def test_fewer_steps_than_tenths_are_all_told() -> None:
    assert len(told(*(step(n, 3, loss=1.0) for n in (1, 2, 3)))) == 1 + 3


def test_a_terminal_shows_a_bar_with_the_figures() -> None:
    text = "\n".join(told(*(step(n, 4, loss=0.5) for n in (1, 2, 3)), terminal=True))
    assert "loss 0.5" in text
    assert "25 %" not in text


def test_validations_are_told() -> None:
    lines = told({"event": "evaluated", "macro_f1": 0.8124, "accuracy": 0.75, "step": 40})
    assert lines == ["step 40: validation macro_f1 0.8124, accuracy 0.75"]


@pytest.mark.parametrize(("classes", "shown"), [(3, "12 rows, 3 labels"), (0, "12 rows")])
def test_only_a_task_with_labels_has_some(classes: int, shown: str) -> None:
    assert told({"event": "seed-started", "rows": 12, "classes": classes}) == [f"seed 0: {shown}"]


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (
            {"event": "truncated", "rows": 12, "of": 300, "max_length": 128},
            "12 of 300 texts are longer than 128 tokens and are cut there",
        ),
        (
            {"event": "dropped", "rows": 2, "of": 9, "max_length": 64, "longest": 1200,
             "completions": 2},
            "2 of 9 dialogues are longer than 64 tokens and are left out; the longest has 1,200",
        ),
        ({"event": "windows", "rows": 5, "windows": 8}, "5 rows are read in 8 windows"),
        ({"event": "words-without-token", "words": 3}, "3 words are unknown to the tokenizer"),
        ({"event": "answers-in-no-window", "rows": 1, "of": 7}, "1 of 7 answers lie in no window"),
        ({"event": "resumed", "step": 500}, "goes on after step 500"),
        ({"event": "resumed", "step": 0}, "there is no checkpoint: starts anew"),
    ],
)  # fmt: skip
def test_what_becomes_of_rows_is_told_in_words(event: dict[str, Any], shown: str) -> None:
    (line,) = told(event)
    assert line.startswith(shown)


def test_an_event_that_only_counts_is_not_told() -> None:
    assert told({"event": "finished", "report": "x"}) == []
