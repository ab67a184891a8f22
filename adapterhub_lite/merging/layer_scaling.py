"""LiNeS: how much of a task vector each layer takes, growing with its depth."""

from adapterhub_lite.streaming.naming import Role
from adapterhub_lite.streaming.tensors import Layer


def layer_factor(layer: Layer | None, role: Role, alpha: float, beta: float) -> float:
    """Return α + β·l / (L − 1) for layer l of L, counted from 0 (Wang et al., ICLR 2025).

    What is in no layer comes before the first one or after the last: embeddings take α, all else
    (final norm, pooler, head) takes α + β. A stack of one layer is its own first: α.
    """
    if layer is not None:
        return alpha + beta * layer.depth
    return alpha if role == "embeddings" else alpha + beta
