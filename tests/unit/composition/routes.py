"""Texts of two kinds, for routes that tell them apart."""

from typing import Any


def texts_of(words: str, number: int) -> tuple[str, ...]:
    """Return texts of two to four words, which share words with their neighbours."""
    known = words.split()
    return tuple(
        " ".join(known[(start + step) % len(known)] for step in range(2 + start % 3))
        for start in range(number)
    )


FRUIT = texts_of("apple pear plum cherry grape juicy sweet ripe basket fruit", 10)
MUSIC = texts_of("sonata violin flute choir drum music loud quiet slow fast", 8)
NEW = ("apple plum cherry", "violin choir drum", "ripe juicy grape", "sonata flute quiet")
"""Of fruit, of music, and again."""
NUMBERS = [0, 1, 0, 1]


def who(answers: Any) -> list[int]:
    """Return whose label each input got: the second member answers yes or no."""
    return [int(answer.record()["label"] in ("yes", "no")) for answer in answers]
