"""Task vectors merged by their singular vectors.

Matrices of two dimensions only; the task vectors of all else are averaged, as the papers do.

No SVD is computed. With X the task vector, turned so that it is tall (p × q, p ≥ q), the right
singular vectors V and the singular values are the eigenvectors and the roots of the eigenvalues of
XᵀX (q × q), and the left ones are X·V/σ; all in 64 bits, over blocks of rows. Squaring costs half
the digits of 64 bits, which leaves as many as 32-bit numbers have. Directions whose singular value
is below that are rounding noise of the inputs, and are left out, as zeros are.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from adapterhub_lite.streaming.tensors import MergeTensor
from adapterhub_lite_merges.geometry import deltas_of, mean_coefficients, write_sum

NOISE: Final = 1e-6
"""What part of the inputs' norm a singular value has to be, to be more than their rounding."""
BLOCK: Final = 2**18
"""Numbers of a block of rows that is computed with in 64 bits."""

Matrices = Sequence[torch.Tensor]


@dataclass(frozen=True, slots=True)
class Directions:
    """Leading singular directions of ``matrix``, in 64 bits: ``right`` is V, ``values`` σ.

    ``to_left`` is V/σ, which takes rows of the matrix to rows of the left ones.
    """

    matrix: torch.Tensor
    right: torch.Tensor
    values: torch.Tensor
    to_left: torch.Tensor

    def left(self, rows: slice) -> torch.Tensor:
        """Return rows of the left singular vectors."""
        return self.matrix[rows].double() @ self.to_left


class TaskSingularVectors:
    """TSV-M (Gargiulo et al., 2025): the leading min(m,n)/T directions of each of T tasks.

    Where tasks share directions, the nearest orthogonal matrix is that of the directions they
    span: a direction is not split into arbitrary ones.
    """

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Have nothing to say."""
        return []

    def merge(self, tensor: MergeTensor) -> None:
        """Write the base and λ times the merged directions."""
        _write(tensor, lambda matrices, wide: task_singular_vectors(matrices))


class IsotropicCommon:
    """Iso-C (Marczak et al., 2025): the directions of the sum, all as strong as their mean."""

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Have nothing to say."""
        return []

    def merge(self, tensor: MergeTensor) -> None:
        """Write the base and λ times the isotropic sum."""
        _write(tensor, lambda matrices, wide: isotropic_common(matrices))


class IsotropicCommonAndTask:
    """Iso-CTS (Marczak et al., 2025): directions of the sum, and of what each task has beside them.

    Of min(m,n) directions the share ``common_fraction`` is common, and a few more or less, so
    that the rest divides evenly between the tasks.
    """

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Have nothing to say."""
        return []

    def merge(self, tensor: MergeTensor) -> None:
        """Write the base and λ times the isotropic sum of common and own directions."""
        share = tensor.params.common_fraction
        _write(
            tensor,
            lambda matrices, wide: isotropic_common_and_task(matrices, share, transposed=wide),
        )


def _write(tensor: MergeTensor, merged: Callable[[Matrices, bool], torch.Tensor]) -> None:
    """Write the base and λ times ``merged`` of a matrix's task vectors, or else their mean.

    ``merged`` is given tall matrices, and whether they are transposed.
    """
    scale = tensor.params.scale
    if len(tensor.shape) != 2 or not tensor.is_matrix:
        coefficients = mean_coefficients(len(tensor.origins), scale)
        write_sum(tensor, deltas_of(tensor), coefficients, onto_base=True)
        return
    whole = tensor.whole()
    wide = tensor.shape[0] < tensor.shape[1]
    found = merged([delta.T if wide else delta for delta in whole.deltas], wide)
    whole.write((found.T if wide else found).mul(scale).add_(whole.base))


def task_singular_vectors(matrices: Matrices) -> torch.Tensor:
    """Return the TSV merge of tall matrices."""
    rank = max(1, matrices[0].shape[1] // len(matrices))
    parts = [leading(matrix, rank, norm(matrix)) for matrix in matrices]
    return recombine(parts, torch.cat([part.values for part in parts]))


def isotropic_common(matrices: Matrices) -> torch.Tensor:
    """Return the Iso-C merge of tall matrices."""
    return _isotropic([_common(matrices, matrices[0].shape[1])])


def isotropic_common_and_task(
    matrices: Matrices, share: float, *, transposed: bool
) -> torch.Tensor:
    """Return the Iso-CTS merge of tall matrices."""
    most, count = matrices[0].shape[1], len(matrices)
    own = round((most - int(most * share)) / count)
    common = _common(matrices, most - own * count)
    beside = _beside_right if transposed else _beside_left
    tasks = (leading(beside(matrix, common), own, norm(matrix)) for matrix in matrices)
    return _isotropic([*tasks, common])


def leading(matrix: torch.Tensor, rank: int, inputs: float) -> Directions:
    """Return at most ``rank`` leading singular directions of a tall matrix, without the noise.

    ``inputs`` is the norm of what the matrix was computed from, to which its noise is relative.
    """
    squares, vectors = torch.linalg.eigh(gram(matrix.shape, lambda rows: matrix[rows].double()))
    values = squares.flip(0).clamp(min=0.0).sqrt()
    kept = min(rank, int((values > NOISE * inputs).sum()))
    right, values = vectors.flip(1)[:, :kept], values[:kept]
    return Directions(matrix, right, values, right / values)


def recombine(parts: Sequence[Directions], values: torch.Tensor) -> torch.Tensor:
    """Return U⊥·diag(values)·V⊥ᵀ of the directions of all parts.

    U⊥ = U(UᵀU)^(−½) is the matrix nearest to U with orthonormal columns.
    """
    matrix = parts[0].matrix

    def left(rows: slice) -> torch.Tensor:
        return torch.cat([part.left(rows) for part in parts], dim=1)

    right = torch.cat([part.right for part in parts], dim=1)
    straight = right @ inverse_root(right.T @ right)
    core = inverse_root(gram(matrix.shape, left)) @ (values * straight).T
    result = torch.empty_like(matrix)
    for rows in blocks(matrix.shape):
        result[rows] = (left(rows) @ core).to(result.dtype)
    return result


def inverse_root(matrix: torch.Tensor) -> torch.Tensor:
    """Return M^(−½) of a positive semi-definite matrix, on the space that it spans."""
    if not matrix.numel():
        return matrix
    values, vectors = torch.linalg.eigh(matrix)
    spanned = values > NOISE**2 * values[-1]
    kept = vectors[:, spanned]
    root: torch.Tensor = (kept / values[spanned].sqrt()) @ kept.T
    return root


def gram(shape: torch.Size, read: Callable[[slice], torch.Tensor]) -> torch.Tensor:
    """Return XᵀX of a tall matrix that is read by blocks of rows, in 64 bits."""
    found: torch.Tensor | None = None
    for rows in blocks(shape):
        block = read(rows)
        found = block.T @ block if found is None else found.addmm_(block.T, block)
    if found is None:
        raise AssertionError("a matrix has rows")
    return found


def blocks(shape: torch.Size) -> Iterator[slice]:
    """Yield the blocks of rows."""
    step = max(1, BLOCK // shape[1])
    for start in range(0, shape[0], step):
        yield slice(start, min(start + step, shape[0]))


def norm(matrix: torch.Tensor) -> float:
    """Return the Frobenius norm."""
    return float(torch.linalg.vector_norm(matrix))


def _common(matrices: Matrices, rank: int) -> Directions:
    """Return the leading directions of the sum."""
    total = matrices[0].clone()
    for matrix in matrices[1:]:
        total.add_(matrix)
    return leading(total, rank, sum(map(norm, matrices)))


def _isotropic(parts: Sequence[Directions]) -> torch.Tensor:
    values = torch.cat([part.values for part in parts])
    return recombine(parts, values.mean().expand(len(values)) if len(values) else values)


def _beside_left(matrix: torch.Tensor, common: Directions) -> torch.Tensor:
    """Return (I − UUᵀ)X, for the task vectors that are tall themselves."""
    seen = torch.zeros(common.right.shape[1], matrix.shape[1]).to(common.right)
    for rows in blocks(matrix.shape):
        seen.addmm_(common.left(rows).T, matrix[rows].double())
    result = torch.empty_like(matrix)
    for rows in blocks(matrix.shape):
        result[rows] = (matrix[rows].double() - common.left(rows) @ seen).to(result.dtype)
    return result


def _beside_right(matrix: torch.Tensor, common: Directions) -> torch.Tensor:
    """Return X(I − VVᵀ): the same, for task vectors that were transposed to be tall."""
    result = torch.empty_like(matrix)
    for rows in blocks(matrix.shape):
        block = matrix[rows].double()
        result[rows] = (block - block @ common.right @ common.right.T).to(result.dtype)
    return result
