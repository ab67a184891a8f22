"""Rows without truth are read as rows with it; truth that is there is left aside."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite.data.asking import forms_asking
from adapterhub_lite.data.examples import Examples
from adapterhub_lite.data.inputs import TAKES, normalise_input, read_inputs
from adapterhub_lite.data.kinds import forms_of, read_rows
from adapterhub_lite.data.normalise import normalise
from adapterhub_lite.data.table import Table
from adapterhub_lite.errors import DataError, RecipeError
from adapterhub_lite.recipes.data import DataSection
from adapterhub_lite.specs import RowKind

USER = {"role": "user", "content": "hi"}
TURNS = [{"role": "system", "content": "be brief"}, USER]
SQUAD = {"text": ["b"], "answer_start": [2]}

ROWS: list[tuple[RowKind, dict[str, Any], dict[str, Any]]] = [
    ("labelled-text", {"text": "a b"}, {"label": "x"}),
    ("labelled-text", {"premise": "a", "hypothesis": "b"}, {"label": "x"}),
    ("tagged-words", {"tokens": ["a", "b"]}, {"ner_tags": ["O", "B-X"]}),
    ("tagged-words", {"words": "a b"}, {"tags": "O O"}),
    ("tagged-words", {"words": "[]"}, {"tags": "[]"}),
    ("valued-text", {"review": "a b"}, {"score": 1}),
    ("valued-text", {"sentence1": "a", "sentence2": "b"}, {"score": 1}),
    ("question", {"question": "q", "context": "a b"}, {"answers": SQUAD}),
    ("question", {"question": "q", "passage": "a b"}, {"answer": "b", "answer_start": 2}),
    ("document", {"text": "a\nb"}, {}),
    ("dialogue", {"messages": TURNS}, {}),
    ("dialogue", {"conversations": [{"from": "human", "value": "hi"}], "system": "be"}, {}),
    ("dialogue", {"instruction": "do", "input": "this"}, {"output": "done"}),
    ("dialogue", {"prompt": "a"}, {"completion": "b"}),
    ("dialogue", {"prompt": [USER]}, {"completion": [{"role": "assistant", "content": "b"}]}),
    ("dialogue", {"question": "q"}, {"answer": "a"}),
    ("source-target", {"article": "a  b"}, {"highlights": "a"}),
    ("similar-texts", {"sentence1": "a", "sentence2": "b"}, {"score": 1}),
    ("similar-texts", {"anchor": "a", "positive": "b"}, {"negative": "c"}),
]


def table(*rows: dict[str, Any]) -> Table:
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    return Table(columns, [{name: row.get(name) for name in columns} for row in rows], "a.jsonl")


def answered(row: dict[str, Any]) -> dict[str, Any]:
    """Add the last turn to a conversation, where a row is one."""
    answers = {"messages": {"role": "assistant", "content": "x"}}
    answers["conversations"] = {"from": "gpt", "value": "x"}
    return {name: [*row[name], answers[name]] for name in answers if name in row}


@pytest.mark.parametrize(("kind", "asked", "truth"), ROWS)
def test_a_row_asks_alike_with_its_truth_and_without_and_as_in_training(
    kind: RowKind, asked: dict[str, Any], truth: dict[str, Any]
) -> None:
    whole = {"id": 1, **asked, **truth, **answered(asked)}
    section = DataSection(train="a.jsonl")
    training, _ = read_rows(table(whole), kind, section, pairs=True)
    (expected,) = training.inputs
    without = read_inputs(table({"id": 1, **asked}), kind, {}, pairs=True)
    beside = read_inputs(table(whole), kind, {}, pairs=True)
    assert without.items == beside.items == (expected,)
    assert without.others == ({"id": 1},)
    assert beside.others == ({"id": 1, **truth},)
    assert set(without.columns.values()) == set(asked)


@pytest.mark.parametrize("kind", get_args(RowKind))
def test_every_form_of_training_can_be_asked(kind: RowKind) -> None:
    trained = {form.name for form in forms_of(kind, DataSection(train="a"), pairs=True)}
    alike = {"answer", "squad"}
    assert trained - {form.name for form in forms_asking(kind, pairs=True)} <= alike
    assert kind in TAKES


WORDS = st.text(max_size=8)


@given(texts=st.lists(WORDS, min_size=1, max_size=4))
@pytest.mark.parametrize(
    "kind",
    ["labelled-text", "valued-text", "tagged-words", "document", "source-target", "question"],
)
def test_an_input_is_normalised_as_training_rows_are(kind: RowKind, texts: list[str]) -> None:
    rows: dict[str, dict[str, Any]] = {
        "labelled-text": {"text": texts[0], "label": "x"},
        "valued-text": {"text": texts[0], "value": 1},
        "tagged-words": {"words": texts, "tags": ["O"] * len(texts)},
        "document": {"text": texts[0]},
        "source-target": {"source": texts[0], "target": "x"},
        "question": {"question": texts[0], "context": texts[-1], "answers": []},
    }
    read, _ = read_rows(table(rows[kind]), kind, DataSection(train="a"))
    (trained,) = normalise(read).rows.inputs
    given_ = tuple(texts) if kind == "tagged-words" else texts[0]
    asked = normalise_input(kind, (texts[0], texts[-1]) if kind == "question" else given_)
    assert asked == trained


def test_pairs_of_similar_texts_are_normalised_as_in_training() -> None:
    row = {"anchor": " a\u200b ", "positive": "b\tc"}
    read, _ = read_rows(table(row), "similar-texts", DataSection(train="a"))
    assert isinstance(read, Examples)
    (trained,) = normalise(read).rows.inputs
    assert normalise_input("similar-texts", tuple(row.values())) == trained == ("a", "b c")


@pytest.mark.parametrize(
    ("kind", "row", "items"),
    [
        ("source-target", {"question": "a"}, ("a",)),
        ("valued-text", {"phrase": "a"}, ("a",)),
        ("labelled-text", {"phrase": "a"}, ("a",)),
        ("dialogue", {"request": "a"}, ("a",)),
        ("dialogue", {"text": "a", "id": 3}, ("a",)),
        ("similar-texts", {"sentence": "a", "id": 3}, ("a",)),
        ("tagged-words", {"sentence": "a b"}, (("a", "b"),)),
        ("source-target", {"translation": {"en": "a"}}, None),
        ("question", {"who": "a"}, None),
    ],
)
def test_the_only_column_holds_the_texts_where_a_text_is_enough(
    kind: RowKind, row: dict[str, Any], items: Any
) -> None:
    if items is not None:
        assert read_inputs(table(row), kind, {}, pairs=True).items == items
        return
    with pytest.raises(DataError):
        read_inputs(table(row), kind, {}, pairs=True)


def test_columns_are_believed() -> None:
    rows = table({"de": "a", "en": "b", "text": "c"})
    assert read_inputs(rows, "source-target", {"source": "de"}).items == ("a",)
    assert read_inputs(rows, "labelled-text", {"text": "en"}).items == ("b",)
    both = {"text": "en", "text2": "de"}
    assert read_inputs(rows, "labelled-text", both, pairs=True).items == (("b", "a"),)
    nested = table({"translation": {"de": "a", "en": "b"}, "id": 4})
    found = read_inputs(nested, "source-target", {"source": "en"})
    assert found.items == ("b",)
    assert found.others == ({"id": 4, "de": "a"},)


def test_a_second_text_that_training_would_not_read_untold_is_refused() -> None:
    rows = table({"text": "a", "text2": "b"})
    with pytest.raises(DataError, match="one text or a pair") as caught:
        read_inputs(rows, "labelled-text", {}, pairs=True)
    assert "--column text2=text2" in caught.value.hint
    assert read_inputs(rows, "labelled-text", {"text": "text"}, pairs=True).items == ("a",)
    assert read_inputs(rows, "labelled-text", {"text2": "text2"}, pairs=True).items == (("a", "b"),)
    assert read_inputs(rows, "labelled-text", {}).items == ("a",), "it reads no pairs"


def test_nested_questions_are_unfolded() -> None:
    asked = {"context": "a b", "qas": [{"question": "q"}, {"question": "r"}]}
    rows = table({"title": "t", "paragraphs": [asked]})
    assert read_inputs(rows, "question", {}).items == (("q", "a b"), ("r", "a b"))


@pytest.mark.parametrize(
    ("kind", "row", "problem"),
    [
        ("labelled-text", {"text": ["a"]}, "row 1: the text is a list"),
        ("tagged-words", {"words": 3}, "row 1: the words are a number"),
        ("dialogue", {"messages": "hi"}, "row 1: the messages are a string"),
        ("dialogue", {"messages": []}, "row 1: nobody asks"),
        ("dialogue", {"messages": [USER], "tools": [1]}, "row 1: it defines tools"),
        ("dialogue", {"prompt": " "}, "row 1: the user's text is empty"),
        ("dialogue", {"instruction": "a", "prompt": "b"}, "may be written as alpaca or prompt"),
        ("question", {"question": "a", "b": "c"}, "no known form; the columns are 'question', 'b'"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_its_row(
    kind: RowKind, row: dict[str, Any], problem: str
) -> None:
    with pytest.raises(DataError, match=problem) as caught:
        read_inputs(table(row), kind, {})
    assert caught.value.message.startswith("a.jsonl: ")
    assert "\n" not in caught.value.message


def test_a_form_chooses_where_two_fit() -> None:
    rows = table({"instruction": "a", "prompt": "b"})
    assert read_inputs(rows, "dialogue", {}, form="prompt-completion").items == ("b",)


@pytest.mark.parametrize(
    ("kind", "columns", "form"),
    [
        ("labelled-text", {"text2": "a"}, None),
        ("labelled-text", {}, "text"),
        ("question", {"text": "a"}, None),
        ("dialogue", {}, "alpacca"),
    ],
)
def test_a_role_or_form_that_rows_do_not_have_is_refused(
    kind: RowKind, columns: dict[str, str], form: str | None
) -> None:
    with pytest.raises(RecipeError):
        read_inputs(table({"a": "b", "c": "d"}), kind, columns, form=form)
