"""Losses of sentence embeddings. All take embeddings of unit length."""

import torch
from torch.nn import functional

Tensor = torch.Tensor


def in_batch_negatives(
    anchors: Tensor, positives: Tensor, negatives: Tensor, same: Tensor, temperature: float
) -> Tensor:
    """Return InfoNCE summed over anchors: each has to find its positive among all candidates.

    ``anchors`` and ``positives`` are (rows, width), ``negatives`` (any number, width). ``same``
    (rows, candidates) marks candidates of the same text as the anchor's own positive: they are no
    negatives. https://arxiv.org/abs/1705.00652
    """
    candidates = torch.cat([positives, negatives])
    logits = anchors @ candidates.T / temperature
    own = torch.arange(len(anchors), device=anchors.device)
    twins = same.clone()
    twins[own, own] = False
    return functional.cross_entropy(logits.masked_fill(twins, -torch.inf), own, reduction="sum")


def cosent(cosines: Tensor, values: Tensor, temperature: float) -> Tensor:
    """Return CoSENT: pairs of higher value are to have the higher cosine; both (rows,).

    log(1 + Σ exp((cos_j - cos_i) / temperature)) over all i, j with value_i > value_j (Su, 2022:
    https://kexue.fm/archives/8847).
    """
    gaps = (cosines[None, :] - cosines[:, None]) / temperature
    compared = gaps[values[:, None] > values[None, :]]
    return torch.cat([compared.new_zeros(1), compared]).logsumexp(0)


def squared_cosine_error(cosines: Tensor, values: Tensor) -> Tensor:
    """Return the squared error of cosines against values, summed; both (rows,)."""
    return functional.mse_loss(cosines, values, reduction="sum")
