"""Numbers beside texts: regression, and similarity on its scale."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from adapterhub_lite.data.examples import SimilarTexts, ValuedText
from adapterhub_lite.data.kinds import require_fitting_keys
from adapterhub_lite.data.table import RowSet
from adapterhub_lite.errors import DataError, RecipeError
from adapterhub_lite.recipes.data import DataSection

Parse = Callable[..., RowSet]
Refuse = Callable[..., DataError]


@pytest.mark.parametrize("cell", [3, 3.0, "3", " 3.0 ", "3e0"])
@pytest.mark.parametrize("name", ["value", "score", "label", "target"])
def test_a_number_may_be_spelt_out(parse: Parse, name: str, cell: Any) -> None:
    assert parse("valued-text", {"review": "good", name: cell}).items == (ValuedText("good", 3.0),)


def test_pairs_have_two_texts(parse: Parse) -> None:
    row = {"sentence1": "a", "sentence2": "b", "score": 1}
    assert parse("valued-text", row).items == (ValuedText("a", 1.0, "b"),)
    told = parse("valued-text", {"x": "a", "y": "b", "z": 1}, text="x", text2="y", label="z")
    assert told.items == (ValuedText("a", 1.0, "b"),)


@pytest.mark.parametrize("cell", ["good", math.nan, math.inf, "nan", "-inf", True, [1], "1e999"])
@pytest.mark.parametrize("kind", ["valued-text", "similar-texts"])
def test_what_is_no_number_is_refused_with_its_row(refuse: Refuse, kind: str, cell: Any) -> None:
    texts = {"text": "a"} if kind == "valued-text" else {"anchor": "a", "positive": "b"}
    error = refuse(kind, {**texts, "value": 1}, {**texts, "value": cell})
    assert "row 2: the value is" in error.message


@pytest.mark.parametrize("cell", [None, "", "  "])
def test_a_missing_number_is_left_to_be_dropped(parse: Parse, cell: Any) -> None:
    (row,) = parse("valued-text", {"text": "a", "value": cell}).items  # type: ignore[attr-defined]
    assert math.isnan(row.value)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"anchor": "a", "positive": "b"}, SimilarTexts("a", "b")),
        ({"anchor": "a", "positive": "b", "negative": "c"}, SimilarTexts("a", "b", "c")),
        ({"sentence1": "a", "sentence2": "b", "score": "0.5"}, SimilarTexts("a", "b", None, 0.5)),
        ({"sentence1": "a", "sentence2": "b", "label": 1}, SimilarTexts("a", "b", None, 1.0)),
        ({"query": "a", "answer": "b"}, SimilarTexts("a", "b")),
    ],
)
def test_similar_texts_are_found_by_name(parse: Parse, row: Any, expected: SimilarTexts) -> None:
    assert parse("similar-texts", row).items == (expected,)


def test_another_scale_is_refused_until_it_is_told(parse: Parse, refuse: Refuse) -> None:
    rows = [{"sentence1": "a", "sentence2": "b", "score": x} for x in (0, 2.5, 5)]
    error = refuse("similar-texts", *rows)
    assert "row 2: the value 2.5 does not lie between 0 and 1" in error.message
    assert "scale: [0, 5]" in error.hint
    scaled = parse("similar-texts", *rows, scale=(0, 5))
    assert [row.value for row in scaled.items] == [0.0, 0.5, 1.0]  # type: ignore[attr-defined]
    assert "between 0 and 2" in refuse("similar-texts", *rows, scale=(0, 2)).message


def test_a_negative_beside_a_value_is_refused(refuse: Refuse) -> None:
    row = {"anchor": "a", "positive": "b", "negative": "c", "value": 1}
    assert "both a negative and a value" in refuse("similar-texts", row).message


@pytest.mark.parametrize(
    ("kind", "options", "field"),
    [
        ("valued-text", {"shots": 2}, "data.shots"),
        ("valued-text", {"multi_label": True}, "data.multi_label"),
        ("valued-text", {"scale": (0, 5)}, "data.scale"),
        ("labelled-text", {"form": "messages"}, "data.form"),
    ],
)
def test_keys_that_mean_nothing_to_the_rows_are_refused(
    kind: Any, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        require_fitting_keys(DataSection(train="a", **options), kind, pairs=False)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"columns": {"text": "a"}, "text": "a"}, "data.columns.text"),
        ({"label": ["a", "b"]}, "data.label"),
        ({"columns": {"vaule": "a"}}, "data.columns.vaule"),
    ],
)
def test_columns_are_told_once_and_with_known_roles(
    parse: Parse, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        parse("valued-text", {"a": "x", "b": 1}, **options)
    assert caught.value.field == field


def test_a_label_is_refused_for_rows_that_have_none(parse: Parse) -> None:
    with pytest.raises(RecipeError, match="have no label"):
        parse("document", {"text": "x", "b": 1}, label="b")
