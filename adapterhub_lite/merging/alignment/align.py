"""The same tensors of several models under the same names: by rule, and never in silence.

A prefix that only some of the models have ("bert.") is added; an output layer stands beside
embeddings that others have in its place; heads that differ, and tensors that a model lacks, are
decided by the person. What is decided is said in ``notices``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from adapterhub_lite.errors import MergeError
from adapterhub_lite.merging.alignment.heads import HeadRule, apply_head_rule
from adapterhub_lite.merging.alignment.names import Table, common_names, drop_buffers
from adapterhub_lite.merging.alignment.outputs import separate_outputs, share_aliases
from adapterhub_lite.merging.memory import require_equal
from adapterhub_lite.streaming.headers import FLOATS, TensorShape
from adapterhub_lite.streaming.sources import Source
from adapterhub_lite.streaming.tensors import Origin
from adapterhub_lite.streaming.tying import is_vocabulary
from adapterhub_lite.streaming.views import UpdateView

MissingRule = Literal["refuse", "base"]
UNION_HINT: Final = "their vocabularies differ: say in the recipe `tokenizer: {source: union}`"


@dataclass(frozen=True, slots=True)
class Member:
    """A model that is merged, or the base, with its config; that of a stage may be empty."""

    source: Source
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """Models that have the same tensors.

    ``base`` and ``models``, in the order given, each have exactly ``tensors``, whose dtypes are
    those of the base or the first model. ``copied`` are further tensors of the output, each with
    where it is taken from whole: heads. ``vocabulary`` are the tensors whose numbers of rows
    differ, being one for each token: they have to be resized before they can be merged.
    ``config`` is what the output's config has to say otherwise than the models'.
    """

    base: Source | None
    models: tuple[Source, ...]
    tensors: Mapping[str, TensorShape]
    copied: Mapping[str, Origin]
    vocabulary: tuple[str, ...]
    config: Mapping[str, Any]
    notices: tuple[str, ...]

    def require_one_vocabulary(self) -> None:
        """Raise MergeError when embeddings differ in rows, and nobody resizes them."""
        for name in self.vocabulary:
            sources = [*([self.base] if self.base else []), *self.models]
            raise _differing(name, sources, UNION_HINT)


def align(
    models: Sequence[Member],
    *,
    base: Member | None = None,
    heads: HeadRule = "refuse",
    missing: MissingRule = "refuse",
) -> Alignment:
    """Bring the names of models together; the base's, or the first model's, are the output's.

    ``heads`` says what becomes of heads that differ: ``refuse``, ``average``, ``omit``, or the
    number of the model, from 0, whose are kept. ``missing: base`` lets a model that lacks a tensor
    change nothing there. Raises MergeError for what no rule decides, naming the tensor.
    """
    members = [*([base] if base else []), *models]
    notices: list[str] = []
    tables = common_names([member.source for member in members], notices)
    drop_buffers(tables, notices)
    share_aliases(tables, notices)
    config = separate_outputs(tables, [member.config for member in members], notices)
    copied = apply_head_rule(tables, heads, notices, has_base=base is not None)
    _complete(tables, missing, notices, has_base=base is not None)
    vocabulary = _check(tables)
    sources = _views(tables, members, has_base=base is not None)
    return Alignment(
        base=sources[0] if base else None,
        models=tuple(sources[1:] if base else sources),
        tensors=sources[0].tensors,
        copied=copied,
        vocabulary=vocabulary,
        config=config,
        notices=tuple(notices),
    )


def _complete(
    tables: Sequence[Table], missing: MissingRule, notices: list[str], *, has_base: bool
) -> None:
    """Refuse tensors that not all have, or take them from the base."""
    reference, *others = tables
    for table in others:
        if extra := [name for name in table.origins if name not in reference.origins]:
            raise MergeError(
                f"{table.label} has {extra[0]!r}, which {reference.label} lacks"
                + (f", and {len(extra) - 1} more such" if len(extra) > 1 else ""),
                tensor=extra[0],
                hint="they are models of other architectures, or of other sizes",
            )
        lacking = [name for name in reference.origins if name not in table.origins]
        if not lacking:
            continue
        if missing != "base" or not has_base:
            raise MergeError(
                f"{table.label} lacks {lacking[0]!r}, which {reference.label} has"
                + (f", and {len(lacking) - 1} more such" if len(lacking) > 1 else ""),
                tensor=lacking[0],
                hint="to let it change nothing there, say `missing: base`, with a base",
            )
        table.origins |= {name: reference.origins[name] for name in lacking}
        notices.append(
            f"{table.label} lacks {len(lacking)} tensors ({lacking[0]} …): it changes nothing there"
        )


def _check(tables: Sequence[Table]) -> tuple[str, ...]:
    """Return vocabulary tensors of different sizes; refuse other shapes, and whole numbers."""
    vocabulary = []
    for name in tables[0].origins:
        origins = [table.origins[name] for table in tables]
        found = [origin.source.tensors[origin.name] for origin in origins]
        if any(tensor.shape != found[0].shape for tensor in found):
            trailing = {tensor.shape[1:] for tensor in found}
            if not is_vocabulary(name) or (len(trailing) > 1 and name.endswith(".weight")):
                raise _differing(name, [table.view() for table in tables])
            vocabulary.append(name)
        if any((tensor.dtype in FLOATS) != (found[0].dtype in FLOATS) for tensor in found):
            raise MergeError(
                f"{name!r} holds whole numbers in some models, and floats in others", tensor=name
            )
        if found[0].dtype not in FLOATS and name not in vocabulary:
            require_equal(name, origins)
    return tuple(vocabulary)


def _differing(
    name: str, sources: Sequence[Source], hint: str = "they are models of other sizes"
) -> MergeError:
    first = sources[0]
    shape = first.tensors[name].shape
    other = next(source for source in sources if source.tensors[name].shape != shape)
    return MergeError(
        f"{name!r} has the shape {shape} in {first.label} and {other.tensors[name].shape} in "
        f"{other.label}",
        tensor=name,
        hint=hint,
    )


def _views(tables: Sequence[Table], members: Sequence[Member], *, has_base: bool) -> list[Source]:
    """Return each model under the common names; one that has them already as it is."""
    order = list(tables[0].origins)
    for table in tables:
        table.origins = {name: table.origins[name] for name in order}
    sources = [_view(table, member) for table, member in zip(tables, members, strict=True)]
    if not has_base:
        return sources
    base, *rest = sources
    adapted = [
        _on_base(source, table, base) for source, table in zip(rest, tables[1:], strict=True)
    ]
    return [base, *adapted]


def _view(table: Table, member: Member) -> Source:
    same = all(
        origin.source is member.source and origin.name == name
        for name, origin in table.origins.items()
    )
    return (
        member.source if same and len(member.source.tensors) == len(table.origins) else table.view()
    )


def _on_base(source: Source, table: Table, base: Source) -> Source:
    """Return a model as an adapter of ``base`` where it is one, under whichever names."""
    if getattr(source, "base", None) is base:
        return source
    view = UpdateView(source.label, table.origins, base)
    adapters = [name for name, origin in table.origins.items() if hasattr(origin.source, "update")]
    return view if any(view.rests_on(name, base, name) for name in adapters) else source
