"""Embeddings: what they learn, and that sentence-transformers loads them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from adapterhub_lite.data.examples import Examples, SimilarTexts
from adapterhub_lite.errors import CapabilityError, IntegrityError
from adapterhub_lite.testing import TINY_ROWS
from adapterhub_lite_tasks.embedding import Embedding, EmbeddingLearner
from adapterhub_lite_tasks.params import EmbeddingParams

TEXTS = [text for text, _ in TINY_ROWS]


def rows_of(*items: SimilarTexts) -> Examples[SimilarTexts]:
    return Examples("similar-texts", items, {})


PAIRS = rows_of(*(SimilarTexts(TEXTS[n], TEXTS[n + 1]) for n in range(0, 18, 2)))
TRIPLETS = rows_of(
    *(SimilarTexts(TEXTS[n], TEXTS[n + 1], TEXTS[(n + 6) % 18]) for n in range(0, 18, 2))
)
VALUED = rows_of(
    *(
        SimilarTexts(TEXTS[n], TEXTS[m], value=float(TINY_ROWS[n][1] == TINY_ROWS[m][1]))
        for n in range(0, 18, 2)
        for m in (n + 1, (n + 6) % 18)
    )
)
CASES = [(PAIRS, "auto"), (TRIPLETS, "auto"), (VALUED, "auto"), (VALUED, "cosine")]


def _loss(scorer: Any, rows: Any, name: str) -> float:
    learner = EmbeddingLearner(scorer, name, 0.05)
    batch = learner.collate(learner.features(rows))
    with torch.no_grad():
        return float(learner.loss(scorer.model.eval(), batch) / learner.units(batch))


@pytest.mark.parametrize("model_type", ["bert", "roberta", "distilbert", "gpt2", "llama"])
@pytest.mark.parametrize(("rows", "loss"), CASES)
def test_it_learns_saves_and_reloads(
    train: Any, reload: Any, tmp_path: Path, model_type: str, rows: Any, loss: str
) -> None:
    params = EmbeddingParams(epochs=30, learning_rate=1e-3, loss=loss)
    untrained = EmbeddingParams(max_steps=1, learning_rate=1e-9, loss=loss)
    before = train(Embedding(), model_type, rows, untrained)[0]
    outcome, attached = train(Embedding(), model_type, rows, params)
    name = outcome.hyperparameters["loss"]
    assert _loss(outcome.scorer, rows, name) < 0.8 * _loss(before.scorer, rows, name)
    again = reload(Embedding(), outcome, attached, tmp_path / "version")
    np.testing.assert_array_equal(again.score(rows).scores, outcome.scorer.score(rows).scores)
    together = outcome.scorer.embed(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    alone = np.concatenate([outcome.scorer.embed([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_sentence_transformers_loads_the_folder(train: Any, tmp_path: Path) -> None:
    outcome, attached = train(Embedding(), "bert", PAIRS, EmbeddingParams(max_steps=2))
    attached.model.save_pretrained(tmp_path)
    attached.tokenizer.save_pretrained(tmp_path)
    Embedding().save(outcome, tmp_path)
    theirs = SentenceTransformer(str(tmp_path), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(theirs, outcome.scorer.embed(TEXTS), atol=1e-5)


def test_in_batch_negatives_cannot_be_accumulated(train: Any) -> None:
    params = EmbeddingParams(gradient_accumulation=2)
    with pytest.raises(CapabilityError, match="accumulation"):
        train(Embedding(), "bert", PAIRS, params)
    cosine = EmbeddingParams(gradient_accumulation=2, loss="cosine", max_steps=1)
    train(Embedding(), "bert", VALUED, cosine)


def test_validation_tells_what_matters(train: Any) -> None:
    params = EmbeddingParams(max_steps=1)
    pairs = train(Embedding(), "bert", PAIRS, params, PAIRS)[0]
    assert 0 <= pairs.selection <= 1
    twins = rows_of(*(SimilarTexts(text, text) for text in TEXTS))
    assert train(Embedding(), "bert", PAIRS, params, twins)[0].selection == 1.0


@pytest.mark.parametrize(
    ("rows", "loss", "problem"),
    [
        (rows_of(PAIRS.items[0]), "auto", "two rows"),
        (rows_of(PAIRS.items[0], VALUED.items[0]), "auto", "1 of 2 rows"),
        (PAIRS, "cosent", "needs rows with values"),
        (VALUED, "in-batch-negatives", "cosent"),
    ],
)
def test_rows_that_do_not_fit_the_loss_are_refused(rows: Any, loss: str, problem: str) -> None:
    assert problem in Embedding().check(rows, EmbeddingParams(loss=loss))[0]


def test_nonsense_in_place_of_pooling_is_an_integrity_error(
    train: Any, make_base: Any, tmp_path: Path
) -> None:
    outcome, _ = train(Embedding(), "bert", PAIRS, EmbeddingParams(max_steps=1))
    Embedding().save(outcome, tmp_path)
    (tmp_path / "modules.json").write_text('[{"path": 3}]')
    with pytest.raises(IntegrityError, match="pooling"):
        Embedding().load(make_base("bert"), tmp_path)
