"""The vote of TIES: at each place only the models count that agree with the elected sign."""

from collections.abc import Sequence

import torch


def agreed_sum(
    values: Sequence[torch.Tensor], weights: Sequence[float], *, normalize: bool
) -> torch.Tensor:
    """Return Σ mᵢvᵢ, with ``normalize`` over Σ mᵢwᵢ, where mᵢ = [sgn vᵢ = s] and s = sgn Σ vᵢ.

    ``values`` are weighted already, all of one shape, and are overwritten. A sum of zero elects
    plus; a zero agrees with no sign; where none agrees the result is 0 (Yadav et al., 2023).
    """
    sign = _elected_sign(values)
    # Times the elected sign all that agree are positive; the sign is put back at the end.
    agreeing = [value.mul_(sign).relu_() for value in values]
    counted = _counted(agreeing, weights) if normalize else None
    result = agreeing[0]
    for other in agreeing[1:]:
        result.add_(other)
    if counted is not None:
        result.div_(counted)
    return result.mul_(sign)


def _elected_sign(values: Sequence[torch.Tensor]) -> torch.Tensor:
    total = values[0].clone()
    for value in values[1:]:
        total.add_(value)
    return total.ge_(0.0).mul_(2.0).sub_(1.0)


def _counted(agreeing: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    """Return the sum of the weights that count at each place, and 1 where none does."""
    buffer = torch.empty_like(agreeing[0])
    total = torch.gt(agreeing[0], 0.0, out=torch.empty_like(buffer)).mul_(weights[0])
    for value, weight in zip(agreeing[1:], weights[1:], strict=True):
        total.add_(torch.gt(value, 0.0, out=buffer), alpha=weight)
    return total.add_(torch.eq(total, 0.0, out=buffer))
