"""Prefixes that only some models have, and buffers that only some files hold."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from adapterhub_lite.errors import MergeError
from adapterhub_lite.streaming.naming import role_of
from adapterhub_lite.streaming.prefixes import Prefix, find_prefix
from adapterhub_lite.streaming.sources import Source
from adapterhub_lite.streaming.tensors import Origin
from adapterhub_lite.streaming.views import View

BUFFERS: Final = re.compile(r"(^|\.)(position_ids|inv_freq|masked_bias|attn\.(bias|rotary_\w+))$")
"""What is computed when a model is made, and files of some ages hold nevertheless."""


@dataclass(slots=True)
class Table:
    """A model's tensors by their common names."""

    label: str
    origins: dict[str, Origin]

    def view(self) -> View:
        """Return the model under the common names."""
        return View(self.label, self.origins)


def common_names(sources: Sequence[Source], notices: list[str]) -> list[Table]:
    """Return the models' tensors under the first one's names.

    Where others have a prefix and a head beside it, all get the prefix. Raises MergeError when two
    tensors of a model would have one name.
    """
    first, *others = sources
    wider = _wider_prefix(first, others)
    if wider:
        notices.append(f"{first.label}: {wider!r} is put before the names of its tensors")
    names = {wider + name: Origin(first, name) for name in first.tensors}
    return [Table(first.label, names), *(_renamed(source, names, notices) for source in others)]


def _wider_prefix(first: Source, others: Sequence[Source]) -> str:
    for other in others:
        prefix = find_prefix(other.tensors.keys(), first.tensors.keys()).strip
        outside = [name for name in other.tensors if not name.startswith(prefix)]
        if prefix and any(role_of(name) == "head" for name in outside):
            return prefix
    return ""


def _renamed(source: Source, known: Collection[str], notices: list[str]) -> Table:
    prefix = find_prefix(source.tensors.keys(), known)
    origins = {prefix.renamed(name, known): Origin(source, name) for name in source.tensors}
    if len(origins) != len(source.tensors):
        raise MergeError(f"{source.label} has tensors both with and without {prefix.strip!r}")
    if prefix != Prefix():
        what = f"{prefix.strip!r} is taken off" if prefix.strip else f"{prefix.add!r} is put before"
        notices.append(f"{source.label}: {what} the names of its tensors")
    return Table(source.label, origins)


def drop_buffers(tables: Sequence[Table], notices: list[str]) -> None:
    """Leave buffers out that not all models hold: they are computed when a model is loaded."""
    held = {name for table in tables for name in table.origins if BUFFERS.search(name)}
    dropped = [name for name in sorted(held) if any(name not in table.origins for table in tables)]
    dropped = [name for name in dropped if all(_is_buffer(table, name) for table in tables)]
    for table in tables:
        for name in dropped:
            table.origins.pop(name, None)
    if dropped:
        notices.append(
            f"{len(dropped)} buffers that not every file holds are left out ({dropped[0]} …): they "
            "are computed when a model is loaded"
        )


def _is_buffer(table: Table, name: str) -> bool:
    """Tell an attention mask, which has four dimensions, from a bias of the same name."""
    origin = table.origins.get(name)
    return origin is None or not name.endswith("bias") or _rank(origin) in (0, 4)


def _rank(origin: Origin) -> int:
    return len(origin.source.tensors[origin.name].shape)
