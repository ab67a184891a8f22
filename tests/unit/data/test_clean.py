"""Which rows go, and why."""

from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite.data.clean import UNUSABLE, Flaw, clean, find_flaws
from adapterhub_lite.data.table import TextSet

ROWS = TextSet(
    texts=("Hi", "", "hi ", "bye", "bye", "\u200b", "what", "BYE", "ok", "ok"),
    labels=(("a",), ("a",), ("a",), ("a",), ("b",), (), (), ("a",), ("b",), ()),
)


def test_each_row_goes_by_one_flaw() -> None:
    assert find_flaws(ROWS) == {
        Flaw.EMPTY: [1, 5],
        Flaw.UNLABELLED: [6, 9],
        Flaw.CONFLICT: [3, 4, 7],
        Flaw.DUPLICATE: [2],
    }


def test_what_is_left_is_normalised_and_counted() -> None:
    found = clean(ROWS)
    assert found.rows == TextSet(("Hi", "ok"), (("a",), ("b",)))
    assert found.kept == (0, 8)
    assert found.removed == {
        "empty text": 2,
        "missing label": 2,
        "conflicting labels": 3,
        "exact duplicate": 1,
    }


def test_test_rows_lose_what_is_unusable_only() -> None:
    found = clean(ROWS, UNUSABLE)
    assert found.kept == (0, 2, 3, 4, 7, 8)
    assert found.removed == {"empty text": 2, "missing label": 2}


def test_several_labels_neither_conflict_nor_have_to_be() -> None:
    rows = TextSet(("a", "a", "A", "b", "b"), (("x",), ("y",), ("x",), (), ()), multi_label=True)
    assert clean(rows).kept == (0, 1, 3)


ROW_LISTS = st.lists(
    st.tuples(st.sampled_from(["", "a", "A", "b ", "b", "c"]), st.sampled_from(["", "x", "y"]))
)


@given(ROW_LISTS, st.booleans())
def test_every_row_is_kept_or_counted_and_clean_rows_stay(
    pairs: list[tuple[str, str]], multi_label: bool
) -> None:
    labels = tuple((label,) if label else () for _, label in pairs)
    rows = TextSet(tuple(text for text, _ in pairs), labels, multi_label)
    found = clean(rows)
    assert len(found.rows) + sum(found.removed.values()) == len(rows)
    again = clean(found.rows)
    assert again.rows == found.rows
    assert not again.removed
