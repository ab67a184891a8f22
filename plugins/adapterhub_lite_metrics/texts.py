"""Metrics of generated texts that need no library.

The scores of generation are (rows, 2): a reference's negative log-likelihood in nats, and its
number of tokens. Decisions are None where nothing was generated; what compares texts is NaN there.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapterhub_lite.evaluation import RowSums

Values = NDArray[Any]


def _likelihoods(truth: Values, decision: Values, scores: Values) -> Values:
    return scores.astype(np.float64)


def _perplexity(sums: Values) -> float:
    """Return e to the mean loss a token; NaN without a token, infinite beyond a float."""
    with np.errstate(over="ignore"):
        return float(np.exp(sums[0] / sums[1])) if sums[1] else np.nan


def _hits(truth: Values, decision: Values, scores: Values) -> Values:
    pairs = zip(truth, decision, strict=True)
    hits = [np.nan if text is None else text.strip() == right.strip() for right, text in pairs]
    return np.column_stack([np.array(hits, dtype=np.float64), np.ones(len(hits))])


perplexity = RowSums(_likelihoods, _perplexity)
exact_match = RowSums(_hits, lambda sums: float(sums[0] / sums[1]))
