"""The losses are torch's and sentence-transformers' own, and the formulas they are known by."""

from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.losses import (
    CoSENTLoss,
    CosineSimilarityLoss,
    MultipleNegativesRankingLoss,
)
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torch.nn.functional import normalize

from adapterhub_lite_tasks.contrast import cosent, in_batch_negatives, squared_cosine_error
from adapterhub_lite_tasks.losses import (
    MultiLabelLoss,
    SingleLabelLoss,
    balanced_weights,
    positive_weights,
)


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(12, 4, generator=torch.Generator().manual_seed(1))


LABELS = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_single_label_is_torchs_mean(
    logits: torch.Tensor, smoothing: float, weighted: bool
) -> None:
    weights = balanced_weights(LABELS.bincount().float()) if weighted else None
    loss = SingleLabelLoss(weights, smoothing)
    expected = nn.CrossEntropyLoss(weight=weights, label_smoothing=smoothing)(logits, LABELS)
    assert loss(logits, LABELS) / loss.units(LABELS) == pytest.approx(expected.item(), rel=1e-6)


def test_weighted_single_label_by_hand(logits: torch.Tensor) -> None:
    weights = torch.tensor([0.5, 1.0, 1.5, 3.0])
    loss = SingleLabelLoss(weights)
    rows = logits.double()
    hand = sum(
        weights[y].item() * (rows[i].exp().sum().log() - rows[i, y]).item()
        for i, y in enumerate(LABELS.tolist())
    )
    assert loss(logits, LABELS).item() == pytest.approx(hand, rel=1e-6)


def test_balanced_weights_are_scikit_learns() -> None:
    expected = compute_class_weight("balanced", classes=np.arange(4), y=LABELS.numpy())
    found = balanced_weights(LABELS.bincount().double())
    assert found.tolist() == pytest.approx(list(expected))


def test_multi_label_is_torchs_mean(logits: torch.Tensor) -> None:
    labels = (logits > 0.3).long()
    weights = positive_weights(labels.sum(0).float(), len(labels))
    loss = MultiLabelLoss(weights)
    expected = nn.BCEWithLogitsLoss(pos_weight=weights)(logits, labels.float())
    assert loss(logits, labels) / loss.units(labels) == pytest.approx(expected.item(), rel=1e-6)


class Given(nn.Module):
    """Stands in for a sentence-transformers model: the features are the embeddings."""

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"sentence_embedding": features["input_ids"]}


@pytest.fixture
def embeddings() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(7, 5, generator=generator, dtype=torch.float64) for _ in range(3)]


def _theirs(loss: Any, columns: list[torch.Tensor], labels: Any = None) -> float:
    return float(loss([{"input_ids": column} for column in columns], labels))


@pytest.mark.parametrize("columns", [2, 3])
def test_in_batch_negatives_are_sentence_transformers(
    embeddings: list[torch.Tensor], columns: int
) -> None:
    chosen = embeddings[:columns]
    a, p, *rest = (normalize(column, dim=-1) for column in chosen)
    negatives = rest[0] if rest else a[:0]
    same = torch.zeros(7, 7 + len(negatives), dtype=torch.bool)
    expected = _theirs(MultipleNegativesRankingLoss(Given(), scale=20.0), chosen)
    assert in_batch_negatives(a, p, negatives, same, 0.05).item() / 7 == pytest.approx(
        expected, rel=1e-10
    )


def test_a_twin_of_the_positive_is_no_negative(embeddings: list[torch.Tensor]) -> None:
    a, p, _ = (normalize(column, dim=-1) for column in embeddings)
    p[1] = p[0]
    same = torch.eye(7, dtype=torch.bool)
    same[0, 1] = same[1, 0] = True
    rest = [0, *range(2, 7)]
    alone = in_batch_negatives(a[:1], p[rest], p[:0], torch.zeros(1, 6, dtype=torch.bool), 0.05)
    both = in_batch_negatives(a, p, p[:0], same, 0.05)
    without = in_batch_negatives(a, p, p[:0], torch.eye(7, dtype=torch.bool), 0.05)
    logits = a[:1] @ p.T / 0.05
    assert alone.item() == pytest.approx(
        (logits[0, rest].logsumexp(0) - logits[0, 0]).item(), rel=1e-10
    )
    assert both < without


def test_cosent_and_cosine_are_sentence_transformers(embeddings: list[torch.Tensor]) -> None:
    values = torch.tensor([0.0, 0.25, 0.25, 0.5, 0.75, 0.875, 1.0], dtype=torch.float64)
    a, p, _ = (normalize(column, dim=-1) for column in embeddings)
    cosines = (a * p).sum(1)
    theirs = _theirs(CoSENTLoss(Given(), scale=20.0), embeddings[:2], values)
    # They hide pairs by adding -1e12, which rounds; ours leaves them out.
    assert cosent(cosines, values, 0.05).item() == pytest.approx(theirs, rel=1e-7)
    theirs = _theirs(CosineSimilarityLoss(Given()), embeddings[:2], values)
    assert squared_cosine_error(cosines, values).item() / 7 == pytest.approx(theirs, rel=1e-9)
