"""``ahl data check`` on rows of every kind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite.specs import RowKind

Ahl = Callable[..., Any]

ROWS: dict[RowKind, list[dict[str, Any]]] = {
    "labelled-text": [
        {"sentence1": "a", "sentence2": "b", "label": 0},
        {"sentence1": "c", "sentence2": "d", "label": 1},
    ],
    "tagged-words": [
        {"tokens": ["Ann", "left"], "ner_tags": ["B-PER", "O"]},
        {"tokens": ["Bob"], "ner_tags": ["B-PER"]},
    ],
    "valued-text": [{"review": "good", "score": 4.5}, {"review": "bad", "score": 1}],
    "question": [{"question": "Who?", "context": "Ann left.", "answer": "Ann"}],
    "document": [{"text": "some words"}, {"text": "other things"}],
    "dialogue": [{"question": "Why?", "answer": "Because."}],
    "source-target": [{"article": "a b", "highlights": "a"}],
    "similar-texts": [{"anchor": "a", "positive": "b"}],
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def write_rows(name: str, *rows: dict[str, Any]) -> str:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write_rows


@pytest.mark.parametrize("kind", ROWS)
def test_good_rows_of_every_kind_can_be_trained_on(
    ahl: Ahl, write: Callable[..., str], kind: RowKind
) -> None:
    words = ("data", "check", write("a.jsonl", *ROWS[kind]), "--rows", kind)
    done = ahl(*words)
    assert done.code == 0, done.err
    assert "can be trained on: " in done.out
    found = json.loads(ahl(*words, "--json").out)
    assert found["rows"] == kind
    assert found["trainable"] is True
    assert set(found["columns"].values()) == set(ROWS[kind][0])


def test_the_scheme_and_the_values_are_shown(ahl: Ahl, write: Callable[..., str]) -> None:
    tagged = ahl("data", "check", write("a.jsonl", *ROWS["tagged-words"]), "--rows", "tagged-words")
    assert "words: tokens   tags: ner_tags\ntags: BIO\n" in tagged.out
    assert "words a class" in tagged.out
    assert tagged.out.endswith("can be trained on: 2 rows in 2 classes, nothing wrong\n")
    valued = ahl("data", "check", write("b.jsonl", *ROWS["valued-text"]), "--rows", "valued-text")
    assert "1 to 4.5, mean 2.75" in valued.out
    assert "classes" not in valued.out


def test_columns_forms_and_scales_are_told(ahl: Ahl, write: Callable[..., str]) -> None:
    row = {"prompt": "p", "completion": "c", "q": "Why?", "a": "Because."}
    file = write("a.jsonl", row)
    words = ("--column", "question=q", "--column", "answer=a", "--form", "question-answer")
    done = ahl("data", "check", file, "--rows", "dialogue", *words)
    assert done.out.startswith("question: q   answer: a\n")
    pair = write("b.jsonl", {"anchor": "a", "positive": "b", "score": 4})
    assert ahl("data", "check", pair, "--rows", "similar-texts").code == 2
    scaled = ahl("data", "check", pair, "--rows", "similar-texts", "--scale", "0", "5", "--json")
    assert json.loads(scaled.out)["train"]["values"]["mean"] == 0.8


def test_several_files_are_checked_as_one_set(ahl: Ahl, write: Callable[..., str]) -> None:
    one = write("one.jsonl", {"text": "a"})
    two = write("two.jsonl", {"text": "b"}, {"text": "a"})
    done = ahl("data", "check", one, two, "--rows", "document", "--validation", one)
    assert "one, row 1: a\n    two, row 2: a" in done.out
    assert "near-duplicates of training rows" in done.out
    assert done.out.endswith("can be trained on: 2 rows, 2 warnings\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--column", "words"), "is not of the form ROLE=COLUMN"),
        (("--column", "wrods=tokens"), "did you mean 'words'?"),
        (("--form", "wordstags"), "did you mean 'words-tags'?"),
        (("--scale", "0", "5"), "'scale' means nothing to rows of tagged-words"),
        (("--scale", "5", "0"), "'scale' is [lowest, highest]"),
        (("--label", "a", "--label", "b"), "rows of tagged-words have one label column"),
        (("--rows", "chat"), "'chat' is not one of"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(
    ahl: Ahl, write: Callable[..., str], words: tuple[str, ...], message: str
) -> None:
    file = write("a.jsonl", *ROWS["tagged-words"])
    done = ahl("data", "check", file, "--rows", "tagged-words", *words)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
