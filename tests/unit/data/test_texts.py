"""Documents, sources and targets; and garbage in every kind of row."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite.data.checks import check
from adapterhub_lite.data.examples import Document, SourceTarget
from adapterhub_lite.data.hashing import fingerprint
from adapterhub_lite.data.normalise import normalise
from adapterhub_lite.data.table import RowSet
from adapterhub_lite.errors import DataError, UserError

Parse = Callable[..., RowSet]
Refuse = Callable[..., DataError]


@pytest.mark.parametrize("name", ["text", "content", "whatever"])
def test_a_document_is_the_text_or_the_only_column(parse: Parse, name: str) -> None:
    assert parse("document", {name: " def f():\n\treturn 1\n"}).items == (
        Document(" def f():\n\treturn 1\n"),
    )


@pytest.mark.parametrize(
    "row",
    [
        {"source": "a", "target": "b"},
        {"article": "a", "highlights": "b", "id": 1},
        {"document": "a", "summary": "b"},
        {"dialogue": "a", "summary": "b"},
    ],
)
def test_sources_and_targets_are_found_by_name(parse: Parse, row: dict[str, Any]) -> None:
    assert parse("source-target", row).items == (SourceTarget("a", "b"),)


@pytest.mark.parametrize("cell", [{"en": "a", "fr": "b"}, '{"fr": "b", "en": "a"}'])
def test_nobody_guesses_which_way_to_translate(parse: Parse, refuse: Refuse, cell: Any) -> None:
    row = {"id": 1, "translation": cell}
    assert "'en'" in refuse("source-target", row).message
    told = parse("source-target", row, columns={"source": "en", "target": "fr"}, extras=["id"])
    assert told.items == (SourceTarget("a", "b"),)
    assert told.extras == {"id": (1.0,)}
    back = parse("source-target", row, columns={"source": "fr", "target": "en"})
    assert back.items == (SourceTarget("b", "a"),)
    error = refuse("source-target", row, columns={"source": "en", "target": "frr"})
    assert error.hint == "did you mean 'fr'?"


def test_half_a_surrogate_pair_moves_no_offset(parse: Parse) -> None:
    assert parse("document", {"text": "a\ud800b"}).items == (Document("a\ufffdb"),)


@pytest.mark.parametrize("cell", ["hard", None, "", float("nan"), [1]])
def test_an_extra_that_is_no_number_is_named(refuse: Refuse, cell: Any) -> None:
    rows = [{"text": "a", "difficulty": 1}, {"text": "b", "difficulty": cell}]
    assert "row 2: the difficulty is" in refuse("document", *rows, extras=["difficulty"]).message


def test_an_extra_that_is_not_there_is_named(refuse: Refuse) -> None:
    error = refuse("document", {"text": "a", "difficulty": 1}, extras=["dificulty"])
    assert error.hint == "did you mean 'difficulty'?"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "from", "value", "text", "answer_start", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
ROLES: dict[str, list[str]] = {
    "labelled-text": ["text", "label"],
    "tagged-words": ["words", "tags"],
    "valued-text": ["text", "value"],
    "question": ["question", "context", "answers"],
    "document": ["text"],
    "dialogue": ["messages"],
    "source-target": ["source", "target"],
    "similar-texts": ["anchor", "positive", "value"],
}
FORMS = [
    *ROLES.items(),
    ("question", ["question", "context", "answer", "answer_start"]),
    ("question", ["data"]),
    ("dialogue", ["conversations", "system"]),
    ("dialogue", ["instruction", "input", "output"]),
    ("dialogue", ["prompt", "completion"]),
    ("source-target", ["translation"]),
    ("similar-texts", ["anchor", "positive", "negative"]),
]


@given(st.sampled_from(FORMS), st.data())
def test_garbage_is_a_users_error_or_rows_that_can_be_checked(
    parse: Parse, form: tuple[str, list[str]], data: st.DataObject
) -> None:
    kind, names = form
    row = st.fixed_dictionaries(dict.fromkeys(names, JSON))
    try:
        rows = parse(kind, *data.draw(st.lists(row, min_size=1, max_size=3)))
    except UserError:
        return
    report = check(rows, rows)
    assert report.train.rows == len(rows)
    assert report.to_json()["rows"] == kind


GOOD: dict[str, list[dict[str, Any]]] = {
    "labelled-text": [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}],
    "tagged-words": [{"words": ["a"], "tags": ["X"]}, {"words": ["b"], "tags": ["O"]}],
    "valued-text": [{"text": "a", "value": 1}, {"text": "b", "value": 2}],
    "question": [
        {"question": "q", "context": "a b", "answer": "a"},
        {"question": "q", "context": "a b", "answer": "b"},
    ],
    "document": [{"text": "a"}, {"text": "b"}],
    "dialogue": [{"prompt": "a", "completion": "b"}, {"prompt": "a", "completion": "c"}],
    "source-target": [{"source": "a", "target": "b"}, {"source": "a", "target": "c"}],
    "similar-texts": [{"anchor": "a", "positive": "b"}, {"anchor": "a", "positive": "c"}],
}


@pytest.mark.parametrize("kind", GOOD)
def test_fingerprints_depend_on_the_rows_and_not_on_their_order(parse: Parse, kind: str) -> None:
    rows = parse(kind, *GOOD[kind])
    assert fingerprint(rows.select([1, 0])) == fingerprint(rows)
    several = [rows, rows.select([0]), rows.select([1]), rows.select([0, 0])]
    assert len({fingerprint(some) for some in several}) == len(several)


def test_fingerprints_tell_kinds_apart(parse: Parse) -> None:
    pair = parse("source-target", {"source": "a", "target": "b"})
    dialogue = parse("dialogue", {"prompt": "a", "completion": "b"})
    assert fingerprint(pair) != fingerprint(dialogue)


@pytest.mark.parametrize(
    ("kind", "row", "changed"),
    [
        ("tagged-words", {"words": ["a\u00a0b"], "tags": ["O"]}, 1),
        ("valued-text", {"text": " a  b", "value": 1}, 1),
        ("similar-texts", {"anchor": "a  b", "positive": "c"}, 1),
        ("document", {"text": " a  b\n"}, 0),
        ("source-target", {"source": "a  b", "target": " c"}, 0),
        ("dialogue", {"prompt": "a  b", "completion": "\tc"}, 0),
        ("question", {"question": "a  b", "context": "c  d", "answer": "d"}, 0),
    ],
)
def test_only_what_is_read_as_words_is_normalised(
    parse: Parse, kind: str, row: dict[str, Any], changed: int
) -> None:
    rows = parse(kind, row)
    assert normalise(rows).changed == changed
    assert normalise(normalise(rows).rows).changed == 0
