"""Which tensor of which model each tensor of the output is made of."""

from collections.abc import Sequence
from dataclasses import dataclass

from adapterhub_lite.errors import MergeError, RecipeError
from adapterhub_lite.merging.alignment.align import Alignment
from adapterhub_lite.merging.engine import Applied
from adapterhub_lite.merging.parameters import Parameters
from adapterhub_lite.merging.values import Place
from adapterhub_lite.streaming.headers import TensorShape
from adapterhub_lite.streaming.naming import LAYER, layers_of, role_of
from adapterhub_lite.streaming.sources import Source
from adapterhub_lite.streaming.tensors import Layer, Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One tensor of the output, without parameters.

    ``layer`` counts in the output, ``depth`` within the piece that the tensor belongs to. A tensor
    that is ``copied`` is its first origin's.
    """

    name: str
    shape: TensorShape
    base: Origin | None
    origins: tuple[Origin, ...]
    layer: Layer | None
    depth: float | None
    copied: bool = False

    @property
    def place(self) -> Place:
        """The tensor as parameters see it."""
        return Place(self.name, role_of(self.name), self.depth)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Tensors of the output that are merged alike."""

    applied: Applied
    parameters: Parameters
    drafts: Sequence[Draft]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A slice's models, each with the number of its first layer; all give ``count`` layers."""

    sources: Sequence[Source]
    base: Source | None
    firsts: Sequence[int]
    count: int


def whole_drafts(aligned: Alignment) -> list[Draft]:
    """Draft every tensor of aligned models from those of the same name; some are copied."""
    layers = layers_of(aligned.tensors)
    merged = [
        Draft(
            name=name,
            shape=shape,
            base=Origin(aligned.base, name) if aligned.base else None,
            origins=tuple(Origin(source, name) for source in aligned.models),
            layer=layers.get(name),
            depth=layers[name].depth if name in layers else None,
        )
        for name, shape in aligned.tensors.items()
    ]
    return [*merged, *(_copied(name, origin) for name, origin in aligned.copied.items())]


def _copied(name: str, origin: Origin) -> Draft:
    return Draft(
        name=name,
        shape=origin.source.tensors[origin.name],
        base=None,
        origins=(origin,),
        layer=None,
        depth=None,
        copied=True,
    )


def sliced_drafts(cuts: Sequence[Cut]) -> list[list[Draft]]:
    """Draft the output's layers slice by slice, in the output's numbering.

    What comes before the layers is the first slice's, what comes after them the last one's.
    Raises MergeError for layers or tensors that a model has not, and for models of two stacks.
    """
    stack = _stack(cuts[0].sources[0])
    total = sum(cut.count for cut in cuts)
    drafts: list[list[Draft]] = [[] for _ in cuts]
    reference = cuts[0].sources[0]
    outside = [name for name in reference.tensors if not LAYER.match(name)]
    for name in outside:
        ends = role_of(name) in ("norm", "head")
        number = len(cuts) - 1 if ends else 0
        drafts[number].append(_outside(name, cuts[number]))
    start = 0
    for own, cut in zip(drafts, cuts, strict=True):
        for offset in range(cut.count):
            layer, inner = Layer(start + offset, total), Layer(offset, cut.count)
            own += _layer_drafts(stack, cut, offset, layer, inner.depth)
        start += cut.count
    return drafts


def _layer_drafts(stack: str, cut: Cut, offset: int, layer: Layer, depth: float) -> list[Draft]:
    numbers = [first + offset for first in cut.firsts]
    beginnings = [f"{stack}.{number}." for number in numbers]
    first = cut.sources[0]
    parts = [
        name.removeprefix(beginnings[0]) for name in first.tensors if name.startswith(beginnings[0])
    ]
    if not parts:
        raise MergeError(f"{first.label} has no layer {numbers[0]}")
    return [
        _draft(
            f"{stack}.{layer.number}.{part}",
            cut,
            [beginning + part for beginning in beginnings],
            layer=layer,
            depth=depth,
        )
        for part in parts
    ]


def _outside(name: str, cut: Cut) -> Draft:
    return _draft(name, cut, [name] * len(cut.sources), layer=None, depth=None)


def _draft(
    name: str, cut: Cut, names: Sequence[str], *, layer: Layer | None, depth: float | None
) -> Draft:
    shape = _shape(cut.sources[0], names[0])
    for source, own in zip(cut.sources[1:], names[1:], strict=True):
        if _shape(source, own).shape != shape.shape:
            raise MergeError(
                f"{own!r} has the shape {_shape(source, own).shape} in {source.label}"
                f" and {shape.shape} in {cut.sources[0].label}",
                tensor=own,
            )
    origins = tuple(Origin(*pair) for pair in zip(cut.sources, names, strict=True))
    base = Origin(cut.base, names[0]) if cut.base else None
    if base and _shape(base.source, base.name).shape != shape.shape:
        raise MergeError(f"{name!r} has another shape in the base", tensor=name)
    return Draft(name=name, shape=shape, base=base, origins=origins, layer=layer, depth=depth)


def _shape(source: Source, name: str) -> TensorShape:
    if name not in source.tensors:
        raise MergeError(f"{source.label} lacks {name!r}", tensor=name)
    return source.tensors[name]


def _stack(source: Source) -> str:
    stacks = {match["stack"] for name in source.tensors if (match := LAYER.match(name))}
    if len(stacks) != 1:
        found = ", ".join(sorted(stacks)) or "none"
        raise MergeError(
            f"slices need models with one stack of layers; {source.label} has {found}",
            hint="merge whole models, or give each part its own merge under `modules`",
        )
    return stacks.pop()


def equal_counts(ranges: Sequence[tuple[int, int] | None], where: str) -> int:
    """Return how many layers a slice has; raises RecipeError unless all its models give as many."""
    if any(given is None for given in ranges):
        raise RecipeError(f"'{where}': every model of a slice needs `layers`", field=where)
    counts = {stop - start for start, stop in (given for given in ranges if given is not None)}
    if len(counts) != 1 or min(counts) < 1:
        raise RecipeError(
            f"'{where}': the models of a slice give {sorted(counts)} layers, not equally many",
            field=where,
        )
    return counts.pop()


def under_prefix(drafts: Sequence[Draft], prefix: str) -> list[Draft]:
    """Return the drafts of a module: those whose names begin with its prefix."""
    start = prefix.rstrip(".") + "."
    return [draft for draft in drafts if draft.name.startswith(start)]
