"""From a diagnosis to what may suit: each hint states the rule that it follows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from adapterhub_lite.merging.diagnosis.diagnose import Diagnosis, Line, Square

LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

SAME: Final = 0.9
ORTHOGONAL: Final = 0.1
COLLIDING: Final = 0.3
CROWDED: Final = 0.3
OUTWEIGHING: Final = 3.0
FAR: Final = 0.5
FEW_DIRECTIONS: Final = 0.1
SPARSE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Hint:
    """What was found, what follows from it, the strategies that suit, and the rule."""

    finding: str
    advice: str
    strategies: tuple[str, ...]
    rule: str


Rule = Callable[[Diagnosis], Iterator[Hint]]


def hints(diagnosis: Diagnosis) -> tuple[Hint, ...]:
    """Return what suits these models, by rules of thumb over the figures of the whole model.

    They say where to begin; which merge is best, only an evaluation tells.
    """
    found = tuple(hint for rule in RULES for hint in rule(diagnosis))
    return found if any(hint.strategies for hint in found) else (*found, MIDDLING)


def letter(number: int) -> str:
    """Return what a model is called in tables and pictures: A, B, … Z, then numbers."""
    return LETTERS[number] if number < len(LETTERS) else str(number + 1)


def _untouched(diagnosis: Diagnosis) -> Iterator[Hint]:
    for number, norm in enumerate(diagnosis.whole.norms):
        if norm == 0:
            yield Hint(
                f"{letter(number)} is the base, number for number",
                "leave it out: it would only dilute the others",
                (),
                "the norm of its task vector is 0",
            )


def _stranger(diagnosis: Diagnosis) -> Iterator[Hint]:
    far = [letter(number) for number in _above(diagnosis.whole.relative_norms, FAR)]
    if far:
        yield Hint(
            f"{_listed(far)} moved very far from {diagnosis.base}",
            "make sure that this is the right base: if not, nothing below holds",
            (),
            f"the norm of a task vector is above {FAR:g} of the base's norm",
        )


def _alike(diagnosis: Diagnosis) -> Iterator[Hint]:
    pairs = _pairs(diagnosis.whole.cosines, lambda cosine: cosine >= SAME)
    if pairs:
        yield Hint(
            f"{_listed(pairs)}: changed in nearly the same direction",
            "a plain mean loses next to nothing, and two models can be interpolated",
            ("linear", "slerp"),
            f"the cosine of their task vectors is {SAME:g} or more",
        )


def _opposed(diagnosis: Diagnosis) -> Iterator[Hint]:
    pairs = _pairs(diagnosis.whole.cosines, lambda cosine: cosine <= -ORTHOGONAL)
    if pairs:
        yield Hint(
            f"{_listed(pairs)}: pull in opposite directions",
            "a sum takes back what either learnt; weigh one down, or do not merge these two",
            (),
            f"the cosine of their task vectors is {-ORTHOGONAL:g} or less",
        )


def _colliding(diagnosis: Diagnosis) -> Iterator[Hint]:
    pairs = [_pair(i, j) for i, j in _collisions(diagnosis)]
    if pairs:
        yield Hint(
            f"{_listed(pairs)}: many large changes meet with opposite signs",
            "elect a sign for each entry, instead of letting them cancel",
            ("ties", "dare_ties"),
            f"sign conflicts among the largest changes are {_percent(COLLIDING)} or more, and the"
            f" largest changes overlap by {_percent(CROWDED)} or the cosine is {ORTHOGONAL:g} away"
            " from 0",
        )


def _orthogonal(diagnosis: Diagnosis) -> Iterator[Hint]:
    whole = diagnosis.whole
    known = [whole.cosines[i][j] for i, j in _all_pairs(diagnosis)]
    apart = all(value is not None and abs(value) < ORTHOGONAL for value in known)
    if apart and not _collisions(diagnosis):
        yield Hint(
            "the task vectors are nearly orthogonal: they hardly meet",
            "a sum keeps most of each",
            ("task_arithmetic", "linear"),
            f"every cosine is less than {ORTHOGONAL:g} away from 0, and no pair collides",
        )


def _outweighing(diagnosis: Diagnosis) -> Iterator[Hint]:
    norms = {number: norm for number, norm in enumerate(diagnosis.whole.norms) if norm}
    if not norms:
        return
    large, small = max(norms, key=norms.__getitem__), min(norms, key=norms.__getitem__)
    ratio = norms[large] / norms[small]
    if ratio < OUTWEIGHING:
        return
    weights = ", ".join(f"{letter(n)} {norms[small] / norm:.2g}" for n, norm in norms.items())
    yield Hint(
        f"{letter(large)} changed {ratio:.2g} times as much as {letter(small)}",
        f"with equal weights it drowns the others; for an equal say give the weights {weights}"
        " (sce does the opposite: it weighs by the squares of the changes)",
        ("task_arithmetic", "linear"),
        f"the largest norm of a task vector is {OUTWEIGHING:g} times the smallest, or more",
    )


def _few_directions(diagnosis: Diagnosis) -> Iterator[Hint]:
    shares = [share for share in diagnosis.whole.rank_shares if share is not None]
    if shares and max(shares) < FEW_DIRECTIONS:
        yield Hint(
            "each model changed its matrices along few directions",
            "merge the directions rather than the entries; knots is for adapters",
            ("tsv", "iso_c", "knots"),
            f"the effective rank of all is below {_percent(FEW_DIRECTIONS)} of the full rank",
        )


def _sparse(diagnosis: Diagnosis) -> Iterator[Hint]:
    shares = diagnosis.whole.unchanged
    sparse = [letter(n) for n in _above(shares, SPARSE) if diagnosis.whole.norms[n]]
    if sparse:
        yield Hint(
            f"{_listed(sparse)}: most entries are the base's own",
            "trimming to a density above the share that changed does nothing",
            (),
            f"more than {_percent(SPARSE)} of the entries are unchanged",
        )


RULES: Final[tuple[Rule, ...]] = (
    _untouched,
    _stranger,
    _alike,
    _opposed,
    _colliding,
    _orthogonal,
    _outweighing,
    _few_directions,
    _sparse,
)

MIDDLING: Final = Hint(
    "the models agree in part and collide little",
    "begin with a mean of the task vectors",
    ("task_arithmetic", "linear"),
    "no other rule names a strategy",
)


def _collisions(diagnosis: Diagnosis) -> list[tuple[int, int]]:
    whole = diagnosis.whole
    return [
        (i, j)
        for i, j in _all_pairs(diagnosis)
        if (whole.top_conflicts[i][j] or 0.0) >= COLLIDING
        and (
            (whole.overlaps[i][j] or 0.0) >= CROWDED
            or abs(whole.cosines[i][j] or 0.0) >= ORTHOGONAL
        )
    ]


def _all_pairs(diagnosis: Diagnosis) -> list[tuple[int, int]]:
    return list(combinations(range(len(diagnosis.models)), 2))


def _pairs(square: Square, wanted: Callable[[float], bool]) -> list[str]:
    return [
        _pair(i, j)
        for i, j in combinations(range(len(square)), 2)
        if (value := square[i][j]) is not None and wanted(value)
    ]


def _pair(one: int, other: int) -> str:
    return f"{letter(one)} and {letter(other)}"


def _above(line: Line, least: float) -> list[int]:
    return [number for number, value in enumerate(line) if value is not None and value > least]


def _listed(names: list[str]) -> str:
    return ", ".join(names)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
