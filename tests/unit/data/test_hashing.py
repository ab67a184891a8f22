"""Fingerprints and ranks stay what they are."""

from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite.data.hashing import fingerprint, rank
from adapterhub_lite.data.table import TextSet

ROWS = TextSet(("a", "b", "b"), (("x",), ("y",), ("y",)))


@given(st.permutations(range(3)))
def test_the_order_of_rows_does_not_matter(order: list[int]) -> None:
    assert fingerprint(ROWS.select(order)) == fingerprint(ROWS)


def test_everything_else_does() -> None:
    others = [
        ROWS.select([0, 1]),
        TextSet(ROWS.texts, (("x",), ("y",), ("x",))),
        TextSet(ROWS.texts, ROWS.labels, multi_label=True),
        TextSet(("a", "b", "c"), ROWS.labels),
        TextSet((), ()),
    ]
    assert len({fingerprint(rows) for rows in [ROWS, *others]}) == len(others) + 1


def test_half_a_surrogate_pair_can_be_hashed() -> None:
    assert fingerprint(TextSet(("\ud800",), (("x",),)))


def test_the_formats_are_pinned() -> None:
    # These are in manifests, and in the choice of rows of published models: they must not change.
    assert fingerprint(ROWS) == FINGERPRINT
    assert rank("shots", 0, "x", "a").hex() == RANK


FINGERPRINT = "3736c4f85bf8bf099272429b4d934ef5ed5088b7b5931300e51d4019f9709477"
RANK = "d344bd9905e8703484ffbaa9444e3334c357fd69aa458cceba0684f150253132"
