"""BLEU and chrF by sacrebleu: its statistics of each text once, its score of each sum.

Papineni et al. 2002, https://aclanthology.org/P02-1040; Popović 2015,
https://aclanthology.org/W15-3049; Post 2018, arXiv:1804.08771. sacrebleu keeps statistics and
scores apart for its own significance tests; the same two functions are used here.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from adapterhub_lite.evaluation import RowSums

Values = NDArray[Any]
Make = Callable[[], Any]


def _statistics(make: Make, truth: Values, decision: Values, scores: Values) -> Values:
    """Return sacrebleu's counts of each text; NaN where nothing was generated."""
    texts = ["" if text is None else text for text in decision]
    rows = np.array(make()._extract_corpus_statistics(texts, [list(truth)]), dtype=np.float64)
    rows[[text is None for text in decision]] = np.nan
    return rows


def _score(make: Make, sums: Values) -> float:
    if not np.isfinite(sums).all():
        return np.nan
    return float(make()._compute_score_from_stats(sums.astype(int).tolist()).score)


def _signature(make: Make) -> str:
    metric = make()
    metric.corpus_score(["a text"], [["a text"]])  # it signs only after it has seen a reference
    return str(metric.get_signature())


def _bleu() -> BLEU:
    return BLEU(force=True)  # no warning about texts that end in " ."


bleu = RowSums(partial(_statistics, _bleu), partial(_score, _bleu))
chrf = RowSums(partial(_statistics, CHRF), partial(_score, CHRF))
bleu_signature = partial(_signature, _bleu)
chrf_signature = partial(_signature, CHRF)
