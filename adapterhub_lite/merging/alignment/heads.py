"""Heads: trained from nothing for each task, so that no base speaks for them."""

import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import torch

from adapterhub_lite.errors import MergeError
from adapterhub_lite.merging.alignment.names import Table
from adapterhub_lite.streaming.headers import TensorShape
from adapterhub_lite.streaming.naming import role_of
from adapterhub_lite.streaming.sources import TORCH_TYPES
from adapterhub_lite.streaming.tensors import Origin
from adapterhub_lite.streaming.tying import is_vocabulary

ModelRule = Literal["refuse", "average", "omit"] | int
HeadRule = ModelRule | Literal["base"]
TASK: Final = re.compile(
    r"(^|\.)(classifier|pre_classifier|score|qa_outputs|classification_head|sequence_summary"
    r"|logits_proj)(\.|$)"
)
"""Heads that a task's training begins with new layers; those of language models are pre-trained."""
HINT: Final = "say what becomes of them: `heads: keep REF` (one model's), `average` or `omit`"


class MeanSource:
    """The mean of one tensor over several models, all alike."""

    def __init__(self, label: str, origins: Mapping[str, Sequence[Origin]]) -> None:
        self.label = label
        self._origins = origins
        self.tensors: Mapping[str, TensorShape] = {
            name: each[0].source.tensors[each[0].name] for name, each in origins.items()
        }

    def read(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Return the numbers ``start:stop`` of a flattened mean."""
        each = self._origins[name]
        total = torch.zeros(stop - start, dtype=torch.float64)
        for origin in each:
            total += origin.read(start, stop)
        return (total / len(each)).float()

    def raw(self, name: str) -> torch.Tensor:
        """Return a whole mean, in the first model's dtype."""
        shape = self.tensors[name]
        return self.read(name, 0, shape.size).to(TORCH_TYPES[shape.dtype]).view(shape.shape)


def apply_head_rule(
    tables: Sequence[Table], rule: HeadRule, notices: list[str], *, has_base: bool
) -> dict[str, Origin]:
    """Take heads that differ out of the tables; return those of the output, and whence.

    A head that the base and all models have, of one shape, is a tensor like any other. One that no
    model has is left out, unless the rule is ``base``, which keeps the base's. Raises MergeError
    for heads that differ when the rule is ``refuse``, and for a rule that cannot be followed.
    """
    models = tables[1:] if has_base else tables
    if isinstance(rule, int) and not 0 <= rule < len(models):
        raise MergeError(f"there is no model {rule} whose head could be kept")
    if rule == "base":
        return _keep_base(tables, notices, has_base=has_base)
    if has_base:
        _drop_unused(tables[0], models, notices)
    names = sorted({n for t in models for n in t.origins if role_of(n) == "head"})
    group = [name for name in names if _is_apart(name, tables, has_base=has_base)]
    if not group:
        return {}
    if isinstance(rule, int):
        # a head was trained with the pooler below it: they are kept together
        group = [name for name in names if not is_vocabulary(name)]
    chosen = _chosen(group, models, rule, notices)
    for table in tables:
        for name in group:
            table.origins.pop(name, None)
    return chosen


def _keep_base(tables: Sequence[Table], notices: list[str], *, has_base: bool) -> dict[str, Origin]:
    if not has_base:
        raise MergeError("there is no base whose head could be kept")
    names = sorted(
        {n for t in tables for n in t.origins if role_of(n) == "head" and not is_vocabulary(n)}
    )
    if all(_is_in_all(name, tables) for name in names):
        return {}
    kept = {name: tables[0].origins[name] for name in names if name in tables[0].origins}
    notices.append(f"the head is that of {tables[0].label} ({names[0]} …)")
    for table in tables:
        for name in names:
            table.origins.pop(name, None)
    return kept


def _is_in_all(name: str, tables: Sequence[Table]) -> bool:
    """Say whether a tensor is in all models, of one shape."""
    having = [table for table in tables if name in table.origins]
    return len(having) == len(tables) and len({_shape(t, name).shape for t in having}) == 1


def _drop_unused(base: Table, models: Sequence[Table], notices: list[str]) -> None:
    """Leave the base's head out where no model has it."""
    unused = [
        name
        for name in base.origins
        if role_of(name) == "head" and not any(name in table.origins for table in models)
    ]
    for name in unused:
        del base.origins[name]
    if unused:
        notices.append(f"{base.label} has a head that no model has: it is left out ({unused[0]} …)")


def _is_apart(name: str, tables: Sequence[Table], *, has_base: bool) -> bool:
    """Say whether a head's tensor cannot be merged like any other.

    Without a base nobody knows whether the heads of a task began alike.
    """
    if has_base and name in tables[0].origins and not all(name in t.origins for t in tables):
        return False  # a model lacks what the base has: that is the rule for missing tensors
    if not all(name in table.origins for table in tables):
        return True
    shapes = {_shape(table, name).shape for table in tables}
    if is_vocabulary(name):
        return False
    return len(shapes) > 1 or (not has_base and TASK.search(name) is not None)


def _chosen(
    group: Sequence[str], models: Sequence[Table], rule: ModelRule, notices: list[str]
) -> dict[str, Origin]:
    first = group[0]
    if rule == "omit":
        notices.append(f"heads are left out ({first} …)")
        return {}
    if rule == "average":
        return _mean(group, models, notices)
    if rule != "refuse":
        kept = {name: origin for name, origin in models[rule].origins.items() if name in group}
        notices.append(f"the head is that of {models[rule].label} ({first} …)")
        return kept
    if differing := [name for name in group if not _all_equal(name, models)]:
        raise MergeError(
            f"the models' heads differ: {differing[0]!r} is not the same in all of them",
            tensor=differing[0],
            hint=HINT,
        )
    notices.append(f"the head is the same in all models ({first} …)")
    return {name: models[0].origins[name] for name in group}


def _mean(group: Sequence[str], models: Sequence[Table], notices: list[str]) -> dict[str, Origin]:
    for name in group:
        shapes = {_shape(table, name).shape for table in models if name in table.origins}
        if len(shapes) > 1 or not all(name in table.origins for table in models):
            found = " and ".join(map(str, sorted(shapes)))
            raise MergeError(
                f"heads cannot be averaged: {name!r} has the shapes {found}, or is not in all "
                "models",
                tensor=name,
                hint="keep one model's head, or leave heads out (`omit`)",
            )
    notices.append(f"the head is the mean of all models' ({group[0]} …)")
    mean = MeanSource(
        "the mean of the heads", {name: [t.origins[name] for t in models] for name in group}
    )
    return {name: Origin(mean, name) for name in group}


def _all_equal(name: str, models: Sequence[Table]) -> bool:
    if not all(name in table.origins for table in models):
        return False
    first, *others = (table.origins[name] for table in models)
    values = first.source.raw(first.name)
    return all(torch.equal(values, other.source.raw(other.name)) for other in others)


def _shape(table: Table, name: str) -> TensorShape:
    origin = table.origins[name]
    return origin.source.tensors[origin.name]
