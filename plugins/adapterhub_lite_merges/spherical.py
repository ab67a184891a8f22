"""Models as points on a sphere: means and ways between them that keep the norm.

A tensor that is zero has no direction: it counts as perpendicular to the others, and its norm
counts in a mean of norms.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.streaming.tensors import MergeTensor
from adapterhub_lite_merges.common import weights_of
from adapterhub_lite_merges.geometry import (
    Along,
    Numbers,
    Vectors,
    as_matrix,
    base_and_models_of,
    cosines,
    deltas_of,
    inner_products,
    models_of,
    norms_of,
    write_sum,
)

NEARLY_STRAIGHT: Final = 0.9995
"""The cosine beyond which ``slerp`` goes straight, as its users know it."""
STRAIGHT: Final = 1e-6
"""The sine below which an arc cannot be told from a straight line, or has no direction."""
CANCELLED: Final = 1e-6
"""The norm of a mean of unit vectors below which 32-bit inputs give it no direction."""


class Slerp:
    """Spherical linear interpolation (Shoemake, 1985) of flattened tensors.

    Between two models, or from the base to one. Raises CapabilityError for any other number.
    """

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Have nothing to say."""
        return []

    def merge(self, tensor: MergeTensor) -> None:
        """Write the point at ``t`` of the arc."""
        ends = _two_ends(tensor)
        cosine = cosines(inner_products(tensor, ends, 2))[0, 1]
        straight = np.abs(cosine) > NEARLY_STRAIGHT
        write_sum(tensor, ends, _on_the_arc(cosine, tensor.params.t, straight))


class Nuslerp:
    """slerp by weights, of models or of task vectors, and of whole tensors, rows or columns."""

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Refuse weights that sum to zero."""
        return _sum_reasons(models)

    def merge(self, tensor: MergeTensor) -> None:
        """Write the point of each arc that the weights say."""
        along, tensor = _vectors_along(tensor)
        vectors, onto_base = _models_or_deltas(tensor)
        first, second = weights_of(tensor)
        cosine = cosines(inner_products(tensor, vectors, 2, along))[0, 1]
        straight = np.sqrt(1.0 - cosine**2) < STRAIGHT
        coefficients = _on_the_arc(cosine, second / (first + second), straight)
        write_sum(tensor, vectors, coefficients, along, onto_base=onto_base)


class Multislerp:
    """The weighted mean of the directions, at the weighted mean of the norms.

    Defined as a mean in the sphere's tangent space at the weighted mean direction, projected
    orthogonally. There the mean is zero, whatever the models, so the direction stays what it is.
    """

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Refuse weights that sum to zero when they are to be normalised."""
        return _sum_reasons(models) if params.normalize_weights else []

    def merge(self, tensor: MergeTensor) -> None:
        """Write the mean direction at the mean norm."""
        vectors, onto_base = _models_or_deltas(tensor)
        weights = np.array(weights_of(tensor))
        if tensor.params.normalize_weights:
            weights /= weights.sum()
        products = inner_products(tensor, vectors, len(weights))
        found = _mean_direction(products[:, :, 0], weights, tensor.params.eps)
        write_sum(tensor, vectors, found[:, None], onto_base=onto_base)


class Karcher:
    """The mean on the sphere (Karcher, 1977): each step is the mean of the logarithmic maps."""

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Have nothing to say."""
        return []

    def merge(self, tensor: MergeTensor) -> None:
        """Write the mean direction at the mean norm; the steps are taken on coefficients."""
        models = models_of(tensor)
        products = inner_products(tensor, models, len(tensor.origins))[:, :, 0]
        limits = tensor.params.max_iter, tensor.params.tol
        write_sum(tensor, models, _karcher_mean(products, *limits)[:, None])


def _two_ends(tensor: MergeTensor) -> Vectors:
    has_base = tensor.base_origin is not None
    if len(tensor.origins) + has_base != 2:
        raise CapabilityError(
            f"slerp goes from one model to another, not between {len(tensor.origins) + has_base}",
            hint="give two models, or a base, where t is 0, and one model",
        )
    return base_and_models_of(tensor) if has_base else models_of(tensor)


def _models_or_deltas(tensor: MergeTensor) -> tuple[Vectors, bool]:
    """Return what is merged, and whether it is added to the base."""
    has_base = tensor.base_origin is not None
    return (deltas_of if has_base else models_of)(tensor), has_base


def _vectors_along(tensor: MergeTensor) -> tuple[Along, MergeTensor]:
    if tensor.params.flatten or not tensor.is_matrix:
        return "tensor", tensor
    return ("columns", as_matrix(tensor)) if tensor.params.row_wise else ("rows", tensor)


def _sum_reasons(models: Sequence[Any]) -> list[str]:
    total = sum(model.weight for model in models)
    return [f"the weights sum to {total:g}: nothing to divide by"] if abs(total) < 1e-12 else []


def _on_the_arc(cosine: Numbers, t: float, straight: NDArray[np.bool_]) -> Numbers:
    """Return the two coefficients of the point at ``t``, for each angle."""
    angle = np.where(straight, np.pi / 2, np.arccos(cosine))
    arc = np.stack([np.sin((1.0 - t) * angle), np.sin(t * angle)]) / np.sin(angle)
    line = np.array([[1.0 - t], [t]])
    return np.where(straight, line, arc)


def _mean_direction(products: Numbers, weights: Numbers, eps: float) -> Numbers:
    """Return the coefficients of the weighted mean direction at the weighted mean norm.

    Where directions cancel out there is none: then those of the weighted sum.
    """
    norms = np.sqrt(products.diagonal())
    mean = weights * _inverse(norms)
    length = _length(mean, products)
    if length < max(eps, CANCELLED):
        return weights
    return mean * (float(weights @ norms) / length)


def _karcher_mean(products: Numbers, max_iter: int, tol: float) -> Numbers:
    """Return the coefficients of the Karcher mean at the mean norm.

    Where directions cancel out there is no mean of them: then those of the plain mean.
    """
    norms = norms_of(products[:, :, None])[:, 0]
    cosine = cosines(products[:, :, None])[:, :, 0]
    weights = (norms > 0) / max(1.0, float(np.count_nonzero(norms)))
    length = _length(weights, cosine)
    if length < CANCELLED:
        return np.full(len(norms), 1.0 / len(norms))
    mean = weights / length
    for _ in range(max_iter):
        step = _mean_of_logarithms(mean, weights, cosine)
        length = _length(step, cosine)
        if length < tol:
            break
        mean = np.cos(length) * mean + np.sin(length) / length * step
        mean /= _length(mean, cosine)
    return mean * float(norms.mean()) * _inverse(norms)


def _mean_of_logarithms(mean: Numbers, weights: Numbers, cosine: Numbers) -> Numbers:
    """Return the mean of the ways from ``mean`` to each unit vector, in the tangent space there."""
    inner = np.clip(cosine @ mean, -1.0, 1.0)
    angle = np.arccos(inner)
    curved = np.sin(angle) > STRAIGHT
    stretch = np.where(curved, angle / np.sin(np.where(curved, angle, 1.0)), inner > 0)
    pulls = weights * stretch
    return pulls - float(pulls @ inner) * mean


def _length(coefficients: Numbers, products: Numbers) -> float:
    return float(np.sqrt(max(0.0, float(coefficients @ products @ coefficients))))


def _inverse(norms: Numbers) -> Numbers:
    inverse: Numbers = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    return inverse
