"""Conversations: the forms they are kept in, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite.data.dialogues import write_messages
from adapterhub_lite.data.examples import Dialogue, Message
from adapterhub_lite.data.kinds import read_rows
from adapterhub_lite.data.table import RowSet
from adapterhub_lite.errors import DataError, RecipeError
from adapterhub_lite.recipes.data import DataSection
from adapterhub_lite_readers.json_files import JsonlReader

Parse = Callable[..., RowSet]
Refuse = Callable[..., DataError]

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
CONTENT = TEXT.filter(lambda text: bool(text.strip()))


def message(role: str, content: Any = "hello", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def dialogue(*turns: tuple[Any, str], plain: bool = False) -> Dialogue:
    return Dialogue(tuple(Message(role, content) for role, content in turns), plain)


ASKED = dialogue(("user", "Why?"), ("assistant", "Because."))
WITH_SYSTEM = dialogue(("system", "Be brief."), ("user", "Why?"), ("assistant", "Because."))
TURNS = [message("user", "Why?"), message("assistant", "Because.")]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"messages": TURNS}, ASKED),
        ({"messages": [message("system", "Be brief."), *TURNS]}, WITH_SYSTEM),
        (
            {"messages": [{**TURNS[0], "name": "ann"}, {**TURNS[1], "weight": 1}]},
            ASKED,
        ),
        ({"messages": [message("user", [{"type": "text", "text": "Why?"}]), TURNS[1]]}, ASKED),
        (
            {
                "conversations": [
                    {"from": "human", "value": "Why?"},
                    {"from": "gpt", "value": "Because."},
                ],
                "system": "Be brief.",
            },
            WITH_SYSTEM,
        ),
        ({"instruction": "Why?", "output": "Because."}, ASKED),
        ({"instruction": "Why?", "input": " ", "output": "Because."}, ASKED),
        (
            {"instruction": "Sum", "input": "1 2", "output": "3"},
            dialogue(("user", "Sum\n\n1 2"), ("assistant", "3")),
        ),
        ({"question": "Why?", "answer": "Because."}, ASKED),
        ({"prompt": TURNS[:1], "completion": TURNS[1:]}, ASKED),
        (
            {"prompt": "Why? ", "completion": " Because."},
            dialogue(("user", "Why? "), ("assistant", " Because."), plain=True),
        ),
    ],
)
def test_forms_are_found_by_their_columns(parse: Parse, row: Any, expected: Dialogue) -> None:
    assert parse("dialogue", row).items == (expected,)


def test_a_list_may_be_spelt_as_json(parse: Parse) -> None:
    cell = '[{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]'
    assert parse("dialogue", {"messages": cell}).items == (ASKED,)


def test_a_form_can_be_forced_where_two_fit(parse: Parse, refuse: Refuse) -> None:
    row = {"prompt": "a", "completion": "b", "question": "Why?", "answer": "Because."}
    assert "prompt-completion or question-answer" in refuse("dialogue", row).message
    assert parse("dialogue", row, form="question-answer").items == (ASKED,)
    with pytest.raises(RecipeError) as caught:
        parse("dialogue", row, form="question-answr")
    assert caught.value.hint == "did you mean 'question-answer'?"


def test_columns_of_other_names_are_told(parse: Parse) -> None:
    row = {"a": "Why?", "b": "Because.", "c": "x"}
    assert parse("dialogue", row, columns={"question": "a", "answer": "b"}).items == (ASKED,)


GOOD = {"messages": TURNS}


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ([message("bot"), TURNS[1]], "message 1 has an unknown 'role': 'bot'"),
        ([{"content": "Why?"}, TURNS[1]], "message 1 has no 'role'"),
        ([message("user", ""), TURNS[1]], "message 1 is empty"),
        ([TURNS[0], message("assistant", " \n")], "message 2 is empty"),
        ([message("user", 3), TURNS[1]], "the content of message 1 is a number"),
        ([message("user", [{"type": "image_url"}]), TURNS[1]], "message 1 is a list, not text"),
        (TURNS[:1], "it ends with the user"),
        (TURNS[1:], "nobody asks"),
        ([message("system"), message("system"), *TURNS], "message 2 is a system message"),
        ([*TURNS, message("system"), *TURNS], "message 3 is a system message"),
        (["Why?", TURNS[1]], "message 1 is a string, not an object"),
        ([TURNS[0], message("assistant", None, tool_calls=[{"id": "1"}])], "calls a tool"),
        ([TURNS[0], message("assistant", weight=0)], "would be ignored: 'weight'"),
        ("Why?", "the messages are a string, not a list"),
        (3, "the messages are a number, not a list"),
    ],
)
def test_what_cannot_be_learnt_is_named(refuse: Refuse, messages: Any, problem: str) -> None:
    error = refuse("dialogue", GOOD, {"messages": messages})
    assert "row 2: " in error.message
    assert problem in error.message
    assert error.hint


def test_tools_are_refused(refuse: Refuse) -> None:
    error = refuse("dialogue", {**GOOD, "tools": None}, {**GOOD, "tools": [{"type": "function"}]})
    assert "row 2: it defines tools" in error.message


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"prompt": "a", "completion": TURNS[1:]}, "one of prompt and completion is a list"),
        ({"prompt": "", "completion": "b"}, "the user's text is empty"),
        ({"prompt": "a", "completion": " "}, "the assistant's text is empty"),
        ({"question": ["a"], "answer": "b"}, "the question is a list, not text"),
        ({"conversations": [{"from": "bard", "value": "a"}]}, "an unknown 'from': 'bard'"),
    ],
)
def test_other_forms_are_checked_alike(refuse: Refuse, row: Any, problem: str) -> None:
    assert f"row 1: {problem}" in refuse("dialogue", row).message.replace("message 1 has ", "")


def test_no_known_form_lists_what_there_is(refuse: Refuse) -> None:
    error = refuse("dialogue", {"text": "a", "label": "b"})
    assert "the columns are 'text', 'label'" in error.message
    assert "alpaca (instruction, output)" in error.hint


ORDERLY = st.builds(
    lambda system, turns, last: Dialogue(
        tuple(
            Message(role, content)
            for role, content in [*system, ("user", last[0]), *turns, ("assistant", last[1])]
        )
    ),
    st.lists(st.tuples(st.just("system"), CONTENT), max_size=1),
    st.lists(st.tuples(st.sampled_from(["user", "assistant", "tool"]), CONTENT), max_size=4),
    st.tuples(CONTENT, CONTENT),
)
PLAIN = st.builds(
    lambda prompt, answer: Dialogue((Message("user", prompt), Message("assistant", answer)), True),
    CONTENT,
    CONTENT,
)


@given(st.lists(ORDERLY, min_size=1, max_size=3) | st.lists(PLAIN, min_size=1, max_size=3))
def test_what_is_written_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, dialogues: list[Dialogue]
) -> None:
    path = tmp_path_factory.mktemp("written") / "a.jsonl"
    write_messages(dialogues, path)
    table = JsonlReader().read(path, "utf-8")
    rows, _ = read_rows(table, "dialogue", DataSection(train=str(path)))
    assert list(rows.items) == dialogues  # type: ignore[attr-defined]


@given(CONTENT, CONTENT, st.lists(st.tuples(CONTENT, CONTENT), max_size=3))
def test_sharegpt_and_alpaca_say_what_messages_say(
    parse: Parse, asked: str, answer: str, more: list[tuple[str, str]]
) -> None:
    exchanges = [*more, (asked, answer)]
    expected = tuple(
        Message(role, content)
        for pair in exchanges
        for role, content in zip(("user", "assistant"), pair, strict=True)
    )
    turns = [
        {"from": name, "value": text}
        for pair in exchanges
        for name, text in zip(("human", "gpt"), pair, strict=True)
    ]
    assert parse("dialogue", {"conversations": turns}).items == (Dialogue(expected),)
    alpaca = parse("dialogue", {"instruction": asked, "output": answer})
    assert alpaca.items == (Dialogue(expected[-2:]),)


PROMPT = dialogue(("user", "a"), ("assistant", "b"), plain=True)


@pytest.mark.parametrize("rows", [[Dialogue(())], [ASKED, PROMPT]])
def test_what_no_file_can_hold_is_not_written(tmp_path: Path, rows: list[Dialogue]) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        write_messages(rows, tmp_path / "a.jsonl")
    assert not (tmp_path / "a.jsonl").exists()
