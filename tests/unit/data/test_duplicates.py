"""The exact search for near-duplicates, against comparing everything with everything."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite.data.duplicates import NearDuplicates, similarity, words

THRESHOLDS = st.sampled_from([0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]) | st.floats(0.01, 1)
# Few words, so that sets overlap; some of them common, so that the order by rarity matters.
TEXTS = st.lists(
    st.lists(st.sampled_from("aaabbcdefghijklm"), max_size=12).map(" ".join), max_size=25
)


def jaccard(first: str, second: str) -> float:
    one, two = set(first.split()), set(second.split())
    return len(one & two) / len(one | two) if one | two else 0.0


def components(texts: list[str], threshold: float) -> list[tuple[int, ...]]:
    group = list(range(len(texts)))
    for i, j in combinations(range(len(texts)), 2):
        if jaccard(texts[i], texts[j]) >= threshold:
            group = [group[i] if own == group[j] else own for own in group]
    found = [tuple(i for i, own in enumerate(group) if own == name) for name in set(group)]
    return sorted(rows for rows in found if len(rows) > 1)


@given(TEXTS, THRESHOLDS)
def test_groups_are_the_connected_components(texts: list[str], threshold: float) -> None:
    assert NearDuplicates(texts, threshold).groups() == components(texts, threshold)


@given(TEXTS, TEXTS, THRESHOLDS)
def test_matches_are_all_near_duplicates(
    texts: list[str], queries: list[str], threshold: float
) -> None:
    index = NearDuplicates(texts, threshold)
    for query in [*queries, *texts, "unheard of words"]:
        found = list(index.matches(query))
        near = [i for i, text in enumerate(texts) if jaccard(query, text) >= threshold]
        assert sorted(found) == near


@given(TEXTS, THRESHOLDS)
def test_alike_compares_two_rows(texts: list[str], threshold: float) -> None:
    index = NearDuplicates(texts, threshold)
    for i, j in combinations(range(len(texts)), 2):
        assert index.alike(i, j) == (jaccard(texts[i], texts[j]) >= threshold)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Where's my card?", {"where", "s", "my", "card"}),
        ("top-up, TOP UP", {"top", "up"}),
        ("«¿Qué?» he said…", {"qué", "he", "said"}),
        ("हिन्दी में।", {"हिन्दी", "में"}),
        ("你好\uff0c世界\uff01", {"你好", "世界"}),
        ("great 😀", {"great", "😀"}),
        ("?!", {"?!"}),
        ("\u200b ", set()),
    ],
)
def test_words(text: str, found: set[str]) -> None:
    assert words(text) == found


def test_a_ratio_that_equals_the_threshold_counts() -> None:
    assert similarity(words("a b c d e f g"), words("a b c d e f g h i j")) == 0.7
    texts = ["a b c d e f g", "a b c d e f g h i j"]
    assert NearDuplicates(texts, 0.7).groups() == [(0, 1)]


def test_variants_of_a_template_are_one_group() -> None:
    template = " ".join(f"w{number}" for number in range(20))
    texts = [f"{template} n{number}" for number in range(3000)]
    assert NearDuplicates(texts, 0.9).groups() == [tuple(range(3000))]
