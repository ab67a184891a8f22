"""ROUGE by rouge-score: F1 of each text, averaged. Lin 2004, https://aclanthology.org/W04-1013.

rouge-score's words are runs of a-z and 0-9. A reference in another script has none, and would
score 0 whatever was generated: with such a reference ROUGE is NaN.
"""

from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer

from adapterhub_lite.evaluation import RowSums

Values = NDArray[Any]


def _row_scores(name: str, truth: Values, decision: Values, scores: Values) -> Values:
    """Return each text's F1, and a one; NaN where it cannot be told."""
    tokenizer = DefaultTokenizer(use_stemmer=False)
    scorer = RougeScorer([name], tokenizer=tokenizer)

    def score(right: str, text: str | None) -> float:
        if text is None or (any(map(str.isalnum, right)) and not tokenizer.tokenize(right)):
            return np.nan
        return float(scorer.score(right, text)[name].fmeasure)

    pairs = zip(truth, decision, strict=True)
    return np.array([(score(right, text), 1.0) for right, text in pairs])


def _mean(sums: Values) -> float:
    return float(sums[0] / sums[1])


def _signature(name: str) -> str:
    return f"{name}|f1|stemmer:no|tokens:a-z0-9|rouge-score:{version('rouge-score')}"


rouge1 = RowSums(partial(_row_scores, "rouge1"), _mean)
rouge2 = RowSums(partial(_row_scores, "rouge2"), _mean)
rougeL = RowSums(partial(_row_scores, "rougeL"), _mean)  # noqa: N816  (its name)
rouge1_signature = partial(_signature, "rouge1")
rouge2_signature = partial(_signature, "rouge2")
rougeL_signature = partial(_signature, "rougeL")  # noqa: N816
