"""The loss against a float64 reference, and the batches it is fed."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite_setfit.supcon import (
    class_balanced_batches,
    label_overlap,
    supervised_contrastive_loss,
)

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=12)


def one_hot(labels: list[int]) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(labels), 5).double()


def reference(embeddings: np.ndarray, labels: list[int], temperature: float) -> float:
    """Khosla et al. 2020, equation 2, written as the sums of the paper."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    rows = range(len(labels))
    anchors = []
    for i in rows:
        positives = [p for p in rows if p != i and labels[p] == labels[i]]
        if not positives:
            continue
        below = sum(math.exp(unit[i] @ unit[a] / temperature) for a in rows if a != i)
        terms = [math.log(math.exp(unit[i] @ unit[p] / temperature) / below) for p in positives]
        anchors.append(-sum(terms) / len(positives))
    return sum(anchors) / len(anchors) if anchors else 0.0


@given(LABELS, st.integers(0, 1000), st.sampled_from([0.05, 0.1, 1.0]))
def test_the_loss_is_the_papers(labels: list[int], seed: int, temperature: float) -> None:
    embeddings = np.random.default_rng(seed).normal(size=(len(labels), 6))
    loss = supervised_contrastive_loss(
        torch.tensor(embeddings), label_overlap(one_hot(labels)), temperature
    )
    assert loss.item() == pytest.approx(reference(embeddings, labels, temperature), abs=1e-9)


@given(LABELS)
def test_loss_and_gradient_are_finite_whatever_the_labels(labels: list[int]) -> None:
    embeddings = torch.randn(len(labels), 6, dtype=torch.float64, requires_grad=True)
    loss = supervised_contrastive_loss(embeddings, label_overlap(one_hot(labels)), 0.1)
    loss.backward()
    assert math.isfinite(loss.item())
    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()


def test_a_batch_of_singletons_teaches_nothing() -> None:
    embeddings = torch.randn(4, 6, requires_grad=True)
    overlap = label_overlap(one_hot([0, 1, 2, 3]).float())
    loss = supervised_contrastive_loss(embeddings, overlap, 0.1)
    loss.backward()
    assert loss.item() == 0.0
    assert embeddings.grad is not None
    assert not embeddings.grad.any()


def test_overlap_of_several_labels_is_jaccard() -> None:
    hot = torch.tensor([[1.0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]])
    overlap = label_overlap(hot)
    assert overlap[0, 1] == 0.5
    assert overlap[0, 2] == 0.0
    assert overlap[3, 4] == 1.0
    assert overlap[0, 3] == 0.0
    assert torch.equal(overlap, overlap.T)


def test_batches_hold_as_many_rows_of_each_class() -> None:
    labels = [(f"c{i}",) for i in range(77) for _ in range(8)]
    batches = class_balanced_batches(labels, 64, np.random.default_rng(0))
    seen: set[str] = set()
    for batch in itertools.islice(batches, 3):
        names = [labels[row][0] for row in batch]
        assert len(batch) == 64
        assert all(names.count(name) == 2 for name in names)
        assert len(set(batch)) == 64
        seen |= set(names)
    assert len(seen) == 77, "classes take turns"


def test_a_class_meets_the_classes_nearest_to_it() -> None:
    labels = [(f"c{i:02}",) for i in range(40) for _ in range(4)]
    angles = np.array([float(name[1:]) // 8 for (name,) in labels]) / 5 * 2 * np.pi
    embeddings = np.column_stack([np.cos(angles), np.sin(angles)])
    batches = class_balanced_batches(labels, 16, np.random.default_rng(0), embeddings)
    for batch in itertools.islice(batches, 20):
        families = {int(labels[row][0][1:]) // 8 for row in batch}
        assert len(families) == 1, "eight classes that lie together fill a batch of eight"
        assert len(batch) == 16


def test_two_classes_fill_a_batch_of_sixteen() -> None:
    labels = [("a",)] * 20 + [("b",)] * 20
    batch = next(class_balanced_batches(labels, 64, np.random.default_rng(0)))
    assert sum(labels[row] == ("a",) for row in batch) == 8
    assert len(batch) == 16


@given(
    st.lists(st.sets(st.sampled_from("abc")).map(lambda s: tuple(sorted(s))), min_size=1),
    st.integers(4, 20),
)
def test_batches_of_any_labels_are_rows_without_repeats(
    labels: list[tuple[str, ...]], size: int
) -> None:
    for batch in itertools.islice(
        class_balanced_batches(labels, size, np.random.default_rng(0)), 5
    ):
        assert batch
        assert len(batch) == len(set(batch))
        assert all(0 <= row < len(labels) for row in batch)


def test_batches_are_drawn_by_the_seed() -> None:
    labels = [(f"c{i % 9}",) for i in range(90)]

    def first(seed: int) -> list[list[int]]:
        drawn = class_balanced_batches(labels, 8, np.random.default_rng(seed))
        return list(itertools.islice(drawn, 4))

    assert first(1) == first(1)
    assert first(1) != first(2)
