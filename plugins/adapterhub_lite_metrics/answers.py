"""Metrics of extracted answers, as SQuAD's script scores them: the best over the right answers.

Rajpurkar et al. 2016, arXiv:1606.05250; questions without an answer as in SQuAD 2.0, 2018,
arXiv:1806.03822: only an empty answer is right.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from adapterhub_lite.evaluation import RowSums

Values = NDArray[Any]

ARTICLES: Final = re.compile(r"\b(a|an|the)\b")
PUNCTUATION: Final = str.maketrans("", "", string.punctuation)


def normalise(answer: str) -> str:
    """Return an answer in lower case, without punctuation, articles and needless space."""
    return " ".join(ARTICLES.sub(" ", answer.lower().translate(PUNCTUATION)).split())


def exact(right: str, answer: str) -> float:
    """Return 1 where two answers are the same once normalised, else 0."""
    return float(normalise(right) == normalise(answer))


def word_f1(right: str, answer: str) -> float:
    """Return F1 of the words that two answers share."""
    wanted, given = normalise(right).split(), normalise(answer).split()
    if not wanted or not given:
        return float(wanted == given)
    return 2 * (Counter(wanted) & Counter(given)).total() / (len(wanted) + len(given))


def _best(
    score: Callable[[str, str], float], truth: Values, decision: Values, scores: Values
) -> Values:
    """Return each row's score for the right answer that fits best, and a one."""
    pairs = zip(truth, decision, strict=True)
    best = [max(score(right, given) for right in _wordings(answers)) for answers, given in pairs]
    return np.column_stack([best, np.ones(len(best))])


def _wordings(answers: Sequence[str]) -> Sequence[str]:
    """Return the answers that say anything; the empty one where there is none."""
    return [answer for answer in answers if normalise(answer)] or [""]


def _share(sums: Values) -> float:
    return float(sums[0] / sums[1])


squad_exact_match = RowSums(partial(_best, exact), _share)
squad_f1 = RowSums(partial(_best, word_f1), _share)
