"""``ahl predict`` on a trained version of every task."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite.api import load

Ask = Callable[..., Any]
CHAT = [{"role": "user", "content": "the apple"}]


def write(name: str, *rows: dict[str, Any]) -> str:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return name


INPUTS: dict[str, tuple[list[str], set[str]]] = {
    "pairs": (["the apple", "--second", "a drum"], {"text", "label", "labels", "score"}),
    "tags": (["the apple is sweet"], {"words", "tags", "scores"}),
    "values": (["the apple is sweet"], {"text", "value"}),
    "reader": (["is this drum", "--context", "the drum"], {"question", "answer", "start", "end"}),
    "chat": (["the apple"], {"prompt", "text", "finish"}),
    "plain": (["the apple"], {"prompt", "text", "finish"}),
    "summary": (["the apple"], {"prompt", "text", "finish"}),
    "documents": (["the apple"], {"prompt", "text", "finish"}),
    "similar": (["the apple"], {"text", "embedding"}),
}


@pytest.mark.parametrize("name", INPUTS)
def test_every_task_answers_in_every_format(run: Ask, ask: Ask, name: str) -> None:
    words, keys = INPUTS[name]
    (record,) = ask(name, *words)
    assert keys <= set(record)
    assert json.loads(run(name, *words, "--format", "jsonl").out) == record
    head, row = csv.reader(io.StringIO(run(name, *words, "--format", "csv").out))
    assert len(head) == len(row)
    assert keys - {"labels"} <= set(head)
    (line,) = run(name, *words).out.splitlines()
    assert line.strip()


@pytest.mark.parametrize("name", INPUTS)
def test_the_python_api_answers_alike(ask: Ask, trained: Any, name: str) -> None:
    asked = {
        "pairs": ("the apple", "a drum"),
        "tags": ("the", "apple", "is", "sweet"),
        "values": "the apple is sweet",
        "reader": ("is this drum", "the drum"),
    }
    predictor = load(trained.version(name), registry=trained.registry)
    (record,) = (p.record() for p in predictor.predict([asked.get(name, "the apple")]))
    assert [record] == ask(name, *INPUTS[name][0])


def test_words_are_split_or_given(ask: Ask) -> None:
    split, given = ask("tags", " the  apple\tis", '["the apple", "is"]')
    assert split["words"] == ["the", "apple", "is"]
    assert given["words"] == ["the apple", "is"]
    assert len(given["tags"]) == len(given["scores"]) == 2


def test_a_question_and_its_context_in_every_spelling(run: Ask, ask: Ask) -> None:
    context = "the drum is\nloud"
    Path("about.txt").write_text(context)
    spellings = (["who", "--context", context], ["who", "--context", "@about.txt"])
    found = [ask("reader", *words) for words in (*spellings, [json.dumps(["who", context])])]
    assert found[0] == found[1] == found[2]
    (record,) = found[0]
    assert record["context"][record["start"] : record["end"]] == record["answer"]
    answer, _, question = run("reader", "who", "--context", context).out.strip().split("\t")
    assert (answer, question) == (record["answer"] or "(no answer)", "who")


@pytest.mark.parametrize("words", [["who"], ['["who"]'], ['["a", "b", "c"]'], []])
def test_a_question_without_a_context_is_refused(
    run: Ask, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"who\n")))
    done = run("reader", *words)
    assert done.code == 2
    assert "the version takes a question with --context TEXT or @FILE" in done.err


def test_messages_are_asked_of_a_chat_model(run: Ask, ask: Ask) -> None:
    text, messages = ask("chat", "the apple", json.dumps(CHAT))
    assert text["prompt"] == "the apple"
    assert messages["prompt"] == CHAT
    assert messages["text"] == text["text"]
    done = run("chat", '[{"role": "usr", "content": "the apple"}]')
    assert done.code == 2
    assert "message 1 has an unknown 'role': 'usr'" in done.err
    assert "the version takes a text, or messages as" in done.err


def test_messages_are_refused_by_a_model_of_plain_prompts(run: Ask) -> None:
    done = run("plain", json.dumps(CHAT))
    assert done.code == 2
    assert "this model learnt plain prompts" in done.err
    assert "ask it with a text" in done.err


def test_a_pair_asked_of_an_embedding_model_is_compared(run: Ask, ask: Ask) -> None:
    (same,) = ask("similar", "the apple", "--second", "the  apple")
    assert same == {"text": ["the apple", "the  apple"], "similarity": pytest.approx(1)}
    one, other, pair = ask("similar", "the drum", "my pear", '["the drum", "my pear"]')
    product = sum(a * b for a, b in zip(one["embedding"], other["embedding"], strict=True))
    assert pair["similarity"] == pytest.approx(product)
    assert run("similar", "a", "--second", "a").out == '1.0000\t["a", "a"]\n'


FILES: dict[str, tuple[dict[str, Any], str, Any]] = {
    "pairs": ({"sentence1": "a", "sentence2": "b", "label": "fruit"}, "text", ["a", "b"]),
    "tags": ({"tokens": ["the", "pear"], "ner_tags": ["O", "O"]}, "words", ["the", "pear"]),
    "values": ({"review": "the pear", "score": 3}, "text", "the pear"),
    "reader": (
        {"question": "who", "context": "the drum", "answers": {"text": [], "answer_start": []}},
        "question",
        "who",
    ),
    "chat": ({"messages": [*CHAT, {"role": "assistant", "content": "yes"}]}, "prompt", CHAT),
    "plain": ({"prompt": "the pear", "completion": "fruit"}, "prompt", "the pear"),
    "summary": ({"article": "the pear", "highlights": "pear"}, "prompt", "the pear"),
    "documents": ({"text": "the pear"}, "prompt", "the pear"),
    "similar": ({"anchor": "a", "positive": "b", "score": 1}, "text", ["a", "b"]),
}


@pytest.mark.parametrize("name", FILES)
def test_rows_as_for_training_are_asked_and_their_other_columns_stay(ask: Ask, name: str) -> None:
    row, key, asked = FILES[name]
    (record,) = ask(name, "--file", write("rows.jsonl", {"id": 7, **row}))
    assert record["id"] == 7
    assert record[key] == asked


def test_lines_are_asked_one_by_one(ask: Ask) -> None:
    Path("lines.txt").write_text('the pear\n["a", "b"]\n')
    assert [row["text"] for row in ask("labels", "--file", "lines.txt")] == [
        "the pear",
        '["a", "b"]',
    ]
    words, _ = ask("tags", "--file", "lines.txt")
    assert words["words"] == ["the", "pear"]
    questions = ask("reader", "--file", "lines.txt", "--context", "a drum")
    assert [row["context"] for row in questions] == ["a drum", "a drum"]


def test_a_row_that_cannot_be_asked_is_named(run: Ask) -> None:
    rows = write("rows.jsonl", {"messages": CHAT}, {"messages": [{"role": "x", "content": "y"}]})
    done = run("chat", "--file", rows)
    assert done.code == 2
    assert "rows.jsonl: row 2: message 1 has an unknown 'role': 'x'" in done.err
    done = run("reader", "--file", write("rows.jsonl", {"question": "who", "body": "the drum"}))
    assert done.code == 2
    assert "the columns are 'question', 'body'" in done.err
    done = run("reader", "--file", "rows.jsonl", "--column", "context=body", "--format", "csv")
    assert done.code == 0
    done = run("reader", "--file", "rows.jsonl", "--text", "body")
    assert done.code == 2
    assert "no column of such rows has the role 'text'" in done.err


def test_an_answer_that_the_limit_cut_is_marked_for_a_person(run: Ask, ask: Ask) -> None:
    (record,) = ask("documents", "the apple")
    assert record["finish"] == "length"
    assert run("documents", "the apple").out == f"{record['text']} …\tthe apple\n"
