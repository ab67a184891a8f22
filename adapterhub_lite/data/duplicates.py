"""Exact search for near-duplicates: texts whose word sets overlap enough (Jaccard).

Two sets that overlap by at least ``t`` share a rare word: a set of ``n`` words has to have
``ceil(t * n)`` in common with the other, so among its first ``n - ceil(t * n) + 1``, in any order
fixed for all, there is one. Where the first shared word stands in both sets bounds how many can
follow it. Sets that pass both tests are compared exactly. Memory grows with the texts, never with
the pairs. (Bayardo et al., Scaling up all pairs similarity search, 2007; Xiao et al., Efficient
similarity joins for near duplicate detection, 2008.)
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from adapterhub_lite.data.normalise import fold

# Spaces and the punctuation of the scripts we know of. What separates is listed, not what is a
# word: ``\w`` would cut Indic words at their vowel signs, and drop emoji.
_BETWEEN_WORDS = re.compile(
    "[\\s!-/:-@\\[-`{-~\xa1\xa7\xab\xb6\xb7\xbb\xbf\u060c\u061b\u061f\u06d4\u0964\u0965"
    "\u2010-\u2027\u2030-\u205e\u3001-\u3003\u3008-\u3011\u3014-\u301f"
    "\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]+"
)
# Guards the ceiling against products such as 0.7 * 10 = 7.000000000000001.
_ROUNDING = 1e-9


def words(text: str) -> frozenset[str]:
    """Return the set of a text's words, without case; a text of punctuation alone is one word."""
    folded = fold(text)
    found = frozenset(_BETWEEN_WORDS.split(folded)) - {""}
    return found or (frozenset({folded}) if folded else frozenset())


def similarity(first: frozenset[str], second: frozenset[str]) -> float:
    """Return the Jaccard similarity: shared words over all words; 0 when there are none."""
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared) if shared else 0.0


# Word → (size of the set, place of the word in it) → the numbers of such sets.
Holders = dict[str, dict[tuple[int, int], list[int]]]


class NearDuplicates:
    """An index of texts for one threshold; empty texts resemble nothing."""

    def __init__(self, texts: Sequence[str], threshold: float) -> None:
        assert 0 < threshold <= 1, "a Jaccard similarity lies between 0 and 1"
        self._threshold = threshold
        self._bags = [words(text) for text in texts]
        rows: dict[frozenset[str], list[int]] = {}
        for row, bag in enumerate(self._bags):
            if bag:
                rows.setdefault(bag, []).append(row)
        # Texts with the same words are looked at once, however many there are.
        self._distinct = list(rows)
        self._rows = list(rows.values())
        self._frequency = Counter(word for bag in self._distinct for word in bag)
        self._holders = self._index()

    def alike(self, first: int, second: int) -> bool:
        """Say whether two rows of the index are near-duplicates."""
        return similarity(self._bags[first], self._bags[second]) >= self._threshold

    def matches(self, text: str) -> Iterator[int]:
        """Yield the rows that are near-duplicates of ``text``, each once."""
        bag = words(text)
        found: set[int] = set()
        for numbers in self._likely(bag, self._holders):
            for number in numbers:
                if number not in found and self._close(bag, number):
                    found.add(number)
                    yield from self._rows[number]

    def groups(self) -> list[tuple[int, ...]]:
        """Return the connected components of two rows or more, sorted within and among them."""
        # What was reached is forgotten, so that a thousand variants of a template cost about a
        # thousand comparisons and not a million.
        unreached = self._index()
        reached: set[int] = set()
        found = []
        for number in range(len(self._distinct)):
            if number not in reached:
                component = self._reach(number, reached, unreached)
                rows = sorted(row for member in component for row in self._rows[member])
                if len(rows) > 1:
                    found.append(tuple(rows))
        return sorted(found)

    def _index(self) -> Holders:
        holders: Holders = {}
        for number, bag in enumerate(self._distinct):
            for place, word in enumerate(self._rarest(bag)):
                holders.setdefault(word, {}).setdefault((len(bag), place), []).append(number)
        return holders

    def _rarest(self, bag: frozenset[str]) -> list[str]:
        """Return the words of which a near-duplicate must have at least one."""
        required = max(1, math.ceil(self._threshold * len(bag) - _ROUNDING))
        ordered = sorted(bag, key=lambda word: (self._frequency[word], word))
        return ordered[: len(bag) - required + 1]

    def _likely(self, bag: frozenset[str], holders: Holders) -> Iterator[list[int]]:
        """Yield lists of the sets that can be close to ``bag``, judged by a first shared word."""
        for place, word in enumerate(self._rarest(bag)):
            for (size, other), numbers in holders.get(word, {}).items():
                most = min(len(bag) - place, size - other)
                if most / (len(bag) + size - most) >= self._threshold:
                    yield numbers

    def _close(self, bag: frozenset[str], number: int) -> bool:
        return similarity(bag, self._distinct[number]) >= self._threshold

    def _reach(self, start: int, reached: set[int], unreached: Holders) -> list[int]:
        """Collect everything that a chain of near-duplicates leads to from ``start``."""
        reached.add(start)
        component = [start]
        for member in component:  # grows while it is walked
            bag = self._distinct[member]
            for numbers in self._likely(bag, unreached):
                numbers[:] = [number for number in numbers if number not in reached]
                near = [number for number in numbers if self._close(bag, number)]
                reached.update(near)
                component += near
        return component
