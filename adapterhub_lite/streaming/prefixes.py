"""The same transformer under two names: alone, or as a part of a model with a head."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

CANDIDATES: Final = 4
"""How many beginnings are tried: a model has few parts at its top."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """How names change: one of the two is taken off ("bert."), or the other put before."""

    strip: str = ""
    add: str = ""

    def renamed(self, name: str, known: Collection[str]) -> str:
        """Return a name as it is among the ``known`` ones, if it can be."""
        if name in known:
            return name
        if self.strip:
            return name.removeprefix(self.strip)
        return self.add + name


def find_prefix(names: Collection[str], known: Collection[str]) -> Prefix:
    """Return the change by which most of ``names`` become known ones; none if none is better."""
    strips = [Prefix(strip=start) for start in _beginnings(names)]
    adds = [Prefix(add=start) for start in _beginnings(known)]
    tried = [Prefix(), *strips, *adds]
    return max(tried, key=lambda prefix: sum(prefix.renamed(n, known) in known for n in names))


def _beginnings(names: Iterable[str]) -> list[str]:
    counts = Counter(
        first + "." for first, dot, _ in (name.partition(".") for name in names) if dot
    )
    return [start for start, _ in counts.most_common(CANDIDATES)]
