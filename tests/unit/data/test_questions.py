"""Questions with answers that are spans of their context."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite.data.clean import clean
from adapterhub_lite.data.examples import Question
from adapterhub_lite.data.table import RowSet
from adapterhub_lite.errors import DataError

Parse = Callable[..., RowSet]
Refuse = Callable[..., DataError]

ASKED = {"question": "Who?", "context": "Ann  saw Bob, and Ann left."}


def question(*answers: tuple[str, int]) -> Question:
    return Question(
        ASKED["question"],
        ASKED["context"],
        tuple(answer for answer, _ in answers),
        tuple(start for _, start in answers),
    )


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"answers": {"text": ["Ann", "Bob"], "answer_start": [18, 9]}}, (("Ann", 18), ("Bob", 9))),
        ({"answers": [{"text": "Bob", "answer_start": 9}]}, (("Bob", 9),)),
        ({"answers": ["Bob"]}, (("Bob", 9),)),
        ({"answers": '{"text": ["Bob"], "answer_start": [9]}'}, (("Bob", 9),)),
        ({"answers": {"text": ["Bob"]}}, (("Bob", 9),)),
        ({"answers": {"text": [], "answer_start": []}}, ()),
        ({"answers": None}, ()),
        ({"answer": "Bob"}, (("Bob", 9),)),
        ({"answer": "Ann", "answer_start": "18"}, (("Ann", 18),)),
        ({"answer": "Ann", "answer_start": 0.0}, (("Ann", 0),)),
        ({"answer": ""}, ()),
    ],
)
def test_answers_may_be_written_in_several_ways(
    parse: Parse, more: dict[str, Any], expected: tuple[tuple[str, int], ...]
) -> None:
    assert parse("question", {**ASKED, **more}).items == (question(*expected),)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"answer": "Bob", "answer_start": 8}, "the answer 'Bob' is not at offset 8"),
        ({"answer": "Bob", "answer_start": 10**30}, "is not at offset"),
        ({"answer": "Bob", "answer_start": -1}, "starts at -1, which is no offset"),
        ({"answer": "Bob", "answer_start": "x"}, "starts at 'x', which is no offset"),
        ({"answer": "Eve"}, "the answer 'Eve' does not occur"),
        ({"answer": "Ann"}, "the answer 'Ann' occurs more than once"),
        ({"answers": {"text": ["Bob"], "answer_start": []}}, "differ in number"),
        ({"answers": {"answer_start": [1]}}, "have no list of texts"),
        ({"answers": [""]}, "an answer is empty"),
        ({"answers": [{"answer_start": 3}]}, "an answer is empty"),
        ({"answers": 3}, "the answers are a number"),
    ],
)
def test_answers_that_are_not_there_are_named(refuse: Refuse, more: Any, problem: str) -> None:
    good = {**ASKED, **dict.fromkeys(more)}
    error = refuse("question", good, {**ASKED, **more})
    assert "row 2: " in error.message
    assert problem in error.message
    assert error.hint


WORDS = st.text("ab \n\u00a0\u0301", max_size=12)


@given(WORDS, st.text("xy", min_size=1), WORDS)
def test_offsets_hold_before_and_after_cleaning(
    parse: Parse, before: str, answer: str, after: str
) -> None:
    row = {"question": "Who?", "context": f"{before}{answer}{after}", "answer": answer}
    cleaned = clean(parse("question", row)).rows
    (found,) = cleaned.items  # type: ignore[attr-defined]
    assert found.starts == (len(before),)
    assert found.context[found.starts[0] :].startswith(answer)


NESTED = {
    "title": "t",
    "paragraphs": [
        {
            "context": ASKED["context"],
            "qas": [
                {"question": "Who?", "id": "1", "answers": [{"text": "Bob", "answer_start": 9}]},
                {"question": "Why?", "id": "2", "answers": [], "is_impossible": True},
            ],
        }
    ],
}


@pytest.mark.parametrize("row", [NESTED, {"version": "2.0", "data": [NESTED]}])
def test_the_original_nesting_is_unfolded(parse: Parse, row: dict[str, Any]) -> None:
    rows = parse("question", row)
    assert rows.items[0] == question(("Bob", 9))  # type: ignore[attr-defined]
    assert rows.items[1].answers == ()  # type: ignore[attr-defined]


@pytest.mark.parametrize("row", [{"data": 3}, {"data": [{"title": "t"}]}, {"paragraphs": "x"}])
def test_another_nesting_is_refused(refuse: Refuse, row: dict[str, Any]) -> None:
    assert "not nested as SQuAD is" in refuse("question", row).message
