"""Which tensors of several models and their base can be compared, and why the others cannot."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from adapterhub_lite.errors import MergeError
from adapterhub_lite.merging.alignment.align import Member
from adapterhub_lite.merging.alignment.names import common_names, drop_buffers
from adapterhub_lite.merging.alignment.outputs import separate_outputs, share_aliases
from adapterhub_lite.streaming.headers import FLOATS
from adapterhub_lite.streaming.sources import Source
from adapterhub_lite.streaming.views import UpdateView


@dataclass(frozen=True, slots=True)
class Difference:
    """A tensor that one model does not have as the base has it."""

    tensor: str
    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class NamedAlike:
    """Models and their base under common names; ``notices`` say what was renamed."""

    models: tuple[Source, ...]
    base: Source
    notices: tuple[str, ...]


def under_common_names(models: Sequence[Member], base: Member) -> NamedAlike:
    """Bring names together as a merge does, and refuse nothing that can be told instead.

    Raises MergeError when two tensors of a model would have one name.
    """
    members = [base, *models]
    notices: list[str] = []
    tables = common_names([member.source for member in members], notices)
    drop_buffers(tables, notices)
    share_aliases(tables, notices)
    separate_outputs(tables, [member.config for member in members], notices)
    under = tables[0].view()
    views = tuple(UpdateView(table.label, table.origins, under) for table in tables[1:])
    return NamedAlike(views, under, tuple(notices))


def comparable_tensors(
    models: Sequence[Source], base: Source
) -> tuple[list[str], tuple[Difference, ...]]:
    """Return the tensors of floats that all have alike, sorted, and what stands out.

    Raises MergeError for a model that has less than half of the base's tensors as the base has
    them: it was trained from another one.
    """
    found = [list(_differences(model, base)) for model in models]
    for model, own in zip(models, found, strict=True):
        _require_kin(model, base, own)
    differences = sorted(
        (difference for own in found for difference in own), key=lambda one: one.tensor
    )
    left_out = {difference.tensor for difference in differences}
    names = [name for name in sorted(base.tensors.keys() - left_out) if _is_float(base, name)]
    if not names:
        raise MergeError(f"{base.label} has no tensor of floats that every model has too")
    return names, tuple(differences)


def _differences(model: Source, base: Source) -> Iterator[Difference]:
    for name in sorted(base.tensors.keys() | model.tensors.keys()):
        reason = _reason(name, model, base)
        if reason:
            yield Difference(name, model.label, reason)


def _reason(name: str, model: Source, base: Source) -> str:
    if name not in model.tensors:
        return "missing"
    if name not in base.tensors:
        return "not in the base"
    own, under = model.tensors[name], base.tensors[name]
    if own.shape != under.shape:
        return f"of the shape {own.shape}, in the base {under.shape}"
    if _is_float(model, name) and _is_float(base, name):
        return ""
    if own.dtype != under.dtype:
        return f"of the type {own.dtype}, in the base {under.dtype}"
    return "" if _same_bytes(model.raw(name), base.raw(name)) else f"other {own.dtype} numbers"


def _is_float(source: Source, name: str) -> bool:
    return source.tensors[name].dtype in FLOATS


def _same_bytes(one: torch.Tensor, other: torch.Tensor) -> bool:
    first, second = (value.reshape(-1).view(torch.uint8) for value in (one, other))
    return torch.equal(first, second)


def _require_kin(model: Source, base: Source, differences: Sequence[Difference]) -> None:
    """Refuse a model that was not trained from the base; raises MergeError."""
    lost = [one for one in differences if one.tensor in base.tensors]
    if len(lost) * 2 <= len(base.tensors):
        return
    raise MergeError(
        f"{model.label} is no descendant of {base.label}: {len(lost)} of {len(base.tensors)}"
        f" tensors differ, such as {lost[0].tensor!r}, which is {lost[0].reason}",
        tensor=lost[0].tensor,
        hint="compare models of one architecture, and name the model that all were trained from",
    )
