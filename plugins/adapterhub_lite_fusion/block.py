"""The attention of one layer."""

from typing import Final

import torch
from torch import Tensor, nn

DEVIATION: Final = 0.02
"""The standard deviation that queries and keys are drawn with, as BERT's weights are."""


class FusionBlock(nn.Module):
    """Weighs what adapters add to a layer (Pfeiffer et al., 2021, arXiv:2005.00247, section 3.2).

    With h what the frozen layer puts out, and zₙ what adapter n alone would add to it::

        aₙ = softmaxₙ((Q h + b)ᵀ K zₙ)        o = Σₙ aₙ V zₙ

    and o is added to h. V begins as the identity: with all attention on one adapter the layer puts
    out what it does with that adapter alone. As in AdapterHub's dynamic fusion, zₙ is without the
    residual connection, there is no temperature, and the scores are not divided by √width. The
    query is h itself, for all methods alike: what adapters are added to, before any LayerNorm
    behind the sub-layer. A bias of the keys would add the same to all scores and changes nothing.

    It computes in its own precision. Shapes: h (…, width), z (…, adapters, width).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        nn.init.normal_(self.query.weight, std=DEVIATION)
        nn.init.normal_(self.key.weight, std=DEVIATION)
        nn.init.zeros_(self.query.bias)
        nn.init.eye_(self.value.weight)

    def attention(self, hidden: Tensor, changes: Tensor) -> Tensor:
        """Return the weights of the adapters (…, adapters), which sum to 1."""
        query = self.query(hidden.to(self.query.weight.dtype))
        # qᵀ(K z) as (Kᵀq)ᵀ z: one product a token instead of one for each adapter
        asked = query @ self.key.weight.to(query.dtype)
        scores = (changes.to(asked.dtype) @ asked.unsqueeze(-1)).squeeze(-1)
        weights: Tensor = scores.float().softmax(-1)
        return weights

    def forward(self, hidden: Tensor, changes: Tensor) -> Tensor:
        """Return what is added to the layer (…, width)."""
        weights = self.attention(hidden, changes).unsqueeze(-1)
        # V Σ aₙzₙ is Σ aₙ V zₙ
        added: Tensor = self.value((weights * changes).sum(-2))
        return added

    def distance(self) -> Tensor:
        """Return ‖I − V‖², of which the loss has a share."""
        value = self.value.weight
        return (value - torch.eye(len(value), device=value.device, dtype=value.dtype)).pow(2).sum()
