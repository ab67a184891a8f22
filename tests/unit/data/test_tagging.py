"""Words with their tags."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite.data.examples import TaggedWords
from adapterhub_lite.data.table import RowSet
from adapterhub_lite.data.tagging import span_types, strays, tag_scheme
from adapterhub_lite.errors import DataError, RecipeError

Parse = Callable[..., RowSet]
Refuse = Callable[..., DataError]

ROW = TaggedWords(("EU", "rejects", "calls"), ("B-ORG", "O", "O"))
WORDS, TAGS = list(ROW.words), list(ROW.tags)


@pytest.mark.parametrize(
    "row",
    [
        {"tokens": WORDS, "ner_tags": TAGS},
        {"words": WORDS, "labels": TAGS, "id": 1},
        {"words": "EU rejects calls", "tags": "B-ORG O O"},
        {"words": '["EU", "rejects", "calls"]', "tags": "['B-ORG', 'O', 'O']"},
    ],
)
def test_lists_may_be_written_in_several_ways(parse: Parse, row: dict[str, Any]) -> None:
    rows = parse("tagged-words", row)
    assert rows.items == (ROW,)
    assert rows.classes == ("B-ORG", "O")


def test_columns_in_doubt_are_refused_until_they_are_told(parse: Parse, refuse: Refuse) -> None:
    row = {"tokens": WORDS, "pos_tags": ["X", "Y", "Z"], "ner_tags": TAGS}
    error = refuse("tagged-words", row)
    assert "the tags may be in 'pos_tags' or 'ner_tags'" in error.message
    assert "columns: {tags: pos_tags}" in error.hint
    assert parse("tagged-words", row, columns={"tags": "ner_tags"}).items == (ROW,)
    assert parse("tagged-words", row, label="ner_tags").items == (ROW,)


def test_an_unknown_role_comes_with_the_nearest(parse: Parse) -> None:
    with pytest.raises(RecipeError) as caught:
        parse("tagged-words", {"a": [], "b": []}, columns={"tag": "b"})
    assert caught.value.field == "data.columns.tag"
    assert caught.value.hint == "did you mean 'tags'?"


@pytest.mark.parametrize(
    ("words", "tags", "problem"),
    [
        (WORDS, TAGS[:2], "3 words but 2 tags"),
        (["a"], None, "1 word but 0 tags"),
        (WORDS, [3, 0, 0], "tag 1 is the number 3"),
        (WORDS, [True, "O", "O"], "tag 1 is a boolean"),
        (WORDS, ["O", None, "O"], "tag 2 is null"),
        (WORDS, ["O", " ", "O"], "word 2 has no tag"),
        ([["EU"], "a", "b"], TAGS, "word 1 is a list"),
        (3, TAGS, "the words are a number, not a list"),
        ("['EU' 'rejects' 'calls']", TAGS, "a list without commas, as NumPy writes one"),
    ],
)
def test_what_does_not_align_is_named(refuse: Refuse, words: Any, tags: Any, problem: str) -> None:
    error = refuse("tagged-words", {"words": WORDS, "tags": TAGS}, {"words": words, "tags": tags})
    assert f"row 2: {problem}" in error.message


@given(st.lists(st.text("ab", min_size=1), max_size=6), st.lists(st.sampled_from("XO"), max_size=6))
def test_rows_align_or_are_refused_with_both_lengths(
    parse: Parse, refuse: Refuse, words: list[str], tags: list[str]
) -> None:
    row = {"words": words, "tags": tags}
    if len(words) == len(tags):
        assert parse("tagged-words", row).items == (TaggedWords(tuple(words), tuple(tags)),)
        return
    message = refuse("tagged-words", row).message
    assert f"row 1: {len(words)} word" in message
    assert f" {len(tags)} tag" in message


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        (["B-X", "I-X", "O"], "BIO"),
        (["I-X", "I-X", "O"], "IO"),
        (["B-X", "E-X", "S-Y"], "IOBES"),
        (["B-X", "L-X", "U-Y"], "BILOU"),
        (["NOUN", "VERB"], "plain"),
        (["B-X", "NOUN"], "plain"),
        (["O", "O"], "plain"),
        (["B-", "O"], "plain"),
    ],
)
def test_the_scheme_is_told_by_the_prefixes(tags: list[str], scheme: str) -> None:
    assert tag_scheme([tags]) == scheme


@pytest.mark.parametrize(
    ("tags", "places"),
    [
        ("B-X I-X I-X O", []),
        ("O I-X I-X", [1]),
        ("B-X I-Y", [1]),
        ("B-X E-X I-X", [2]),
        ("S-X E-X", [1]),
        ("I-X", [0]),
    ],
)
def test_a_span_that_nothing_opens_is_found(tags: str, places: Sequence[int]) -> None:
    assert list(strays(tags.split(), "IOBES")) == places
    assert list(strays(tags.split(), "plain")) == []


def test_types_are_the_tags_without_prefixes() -> None:
    assert list(span_types(["B-X", "O", "I-X"], "BIO")) == ["X", "X"]
    assert list(span_types(["DET", "O"], "plain")) == ["DET"]
