"""A LoRA adapter out of a whole fine-tuned model: the low-rank part of its difference from a base.

Each matrix of a linear layer is approximated by itself. What differs beside them (norms, biases,
embeddings) has no such form; it is reported, and the caller decides.

Every tensor is visited once, since a merge's is computed when it is read: linear layers are
compared with the base when they are decomposed, and what differs beside them is known before.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import torch

from adapterhub_lite.errors import MergeError
from adapterhub_lite.merging.adapters.randomised import approximate
from adapterhub_lite.merging.engine import in_threads
from adapterhub_lite.streaming.factors import Compressed, RankChoice
from adapterhub_lite.streaming.headers import FLOATS, TensorShape
from adapterhub_lite.streaming.naming import role_of
from adapterhub_lite.streaming.prefixes import find_prefix
from adapterhub_lite.streaming.sources import Source, read_finite
from adapterhub_lite.streaming.tensors import CHUNK

RESIDENT: Final = 2**24
"""A difference of up to so many numbers is held while it is decomposed; larger ones are reread."""

Kind = Literal["linear", "transposed", "other"]
"""A linear layer's weight, one that is stored as inputs by outputs, or no linear layer's."""
KindOf = Callable[[str, tuple[int, ...]], Kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """The tensors of a fine-tuned model beside those of its base, as their headers tell.

    ``layers`` are the linear layers of both by the module's name, each with its weight's name in
    both models; ``transposed`` names those that are stored as inputs by outputs. ``heads`` are the
    tensors of both that the caller takes for those of a head, ``others`` all else that both have,
    each with its name in the base. ``new`` are those that the base has not, ``missing`` those that
    only the base has.
    """

    layers: Mapping[str, tuple[str, str]]
    transposed: frozenset[str]
    heads: Mapping[str, str]
    others: Mapping[str, str]
    new: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """What differs beside the linear layers.

    ``rest`` are tensors that differ, with their names in the base. ``new`` are those that the base
    has not, and its heads where one of them differs. ``unchanged`` counts equal ones.
    """

    paired: Pairing
    rest: Mapping[str, str]
    new: tuple[str, ...]
    unchanged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction(Differences):
    """The differences of linear layers as factors, in the orientation of LoRA, by module.

    ``transposed`` names those whose weights are stored as inputs by outputs; ``unchanged`` counts
    equal layers as well.
    """

    modules: Mapping[str, Compressed]
    transposed: frozenset[str]


def extract_lora(
    finetuned: Source,
    base: Source,
    choice: RankChoice,
    *,
    kind_of: KindOf | None = None,
    seed: int = 0,
) -> Extraction:
    """Approximate what ``finetuned`` adds to ``base`` by factors, matrix by matrix.

    As :func:`pair_models`, :func:`compare_rest` and then :func:`decompose`.
    """
    found = compare_rest(pair_models(finetuned, base, kind_of), finetuned, base)
    return decompose(found, finetuned, base, choice, seed=seed)


def pair_models(
    finetuned: Source, base: Source, kind_of: KindOf | None = None, heads: Collection[str] = ()
) -> Pairing:
    """Pair the tensors of both; names may differ by the prefix of a model with a head.

    ``kind_of`` tells which weights are linear layers' (by default from their names). Tensors that
    ``heads`` names are to be taken whole, of whichever shape. Raises MergeError for other models of
    different shapes.
    """
    pairs = paired_names(finetuned.tensors, base.tensors)
    layers: dict[str, tuple[str, str]] = {}
    transposed: set[str] = set()
    others: dict[str, str] = {}
    for name, other in pairs.items():
        if name in heads:
            continue
        _require_same_shape(finetuned, name, base, other)
        kind = (kind_of or kind_by_name)(name, finetuned.tensors[name].shape)
        if kind == "other":
            others[name] = other
            continue
        module = name.removesuffix(".weight")
        layers[module] = (name, other)
        transposed |= {module} if kind == "transposed" else set()
    return Pairing(
        layers=layers,
        transposed=frozenset(transposed),
        heads={name: other for name, other in pairs.items() if name in heads},
        others=others,
        new=tuple(sorted(finetuned.tensors.keys() - pairs.keys())),
        missing=tuple(sorted(base.tensors.keys() - set(pairs.values()))),
    )


def compare_rest(
    paired: Pairing,
    finetuned: Source,
    base: Source,
    *,
    threads: int = 1,
    rounding: float = 0.0,
) -> Differences:
    """Find what differs beside the linear layers.

    A number that is within the share ``rounding`` of the base's is equal to it. Raises MergeError
    for numbers that are not finite.
    """

    def differs(name: str) -> bool:
        return _differs(finetuned, name, base, looked_at[name], rounding)

    looked_at = {**paired.heads, **paired.others}
    found = dict(zip(looked_at, in_threads(differs, looked_at, threads), strict=True))
    heads = set(paired.heads) if any(found[name] for name in paired.heads) else set()
    rest = {name: other for name, other in paired.others.items() if found[name]}
    return Differences(
        paired=paired,
        rest=rest,
        new=tuple(sorted({*paired.new, *heads})),
        unchanged=len(looked_at) - len(rest) - len(heads),
    )


def decompose(
    found: Differences,
    finetuned: Source,
    base: Source,
    choice: RankChoice,
    *,
    seed: int = 0,
    threads: int = 1,
    rounding: float = 0.0,
    progress: Callable[[int, int], None] | None = None,
) -> Extraction:
    """Approximate each linear layer's difference by factors of the rank that is chosen.

    ``rounding`` is as in :func:`compare_rest`; ``progress`` is called with the numbers done, and
    all of them. Raises MergeError for numbers that are not finite.
    """
    layers, transposed = found.paired.layers, found.paired.transposed
    sizes = {module: finetuned.tensors[name].size for module, (name, _) in layers.items()}

    def compressed(module: str) -> Compressed | None:
        name, other = layers[module]
        if not _differs(finetuned, name, base, other, rounding):
            return None
        height, width = finetuned.tensors[name].shape
        change = _Change(finetuned, name, base, other, (height, width))
        return change.compressed(choice, f"{seed}/{name}", module in transposed)

    modules: dict[str, Compressed] = {}
    done = 0
    for module, result in zip(layers, in_threads(compressed, layers, threads), strict=True):
        if result is not None:
            modules[module] = result
        done += sizes[module]
        if progress is not None:
            progress(done, sum(sizes.values()))
    return Extraction(
        paired=found.paired,
        rest=found.rest,
        new=found.new,
        unchanged=found.unchanged + len(layers) - len(modules),
        modules=modules,
        transposed=transposed & modules.keys(),
    )


def kind_by_name(name: str, shape: tuple[int, ...]) -> Kind:
    """Tell a linear layer's weight: a matrix called so that belongs to no embedding or norm."""
    is_linear = len(shape) == 2 and name.endswith(".weight")
    return "linear" if is_linear and role_of(name) != "embeddings" else "other"


def paired_names(
    finetuned: Mapping[str, TensorShape], base: Mapping[str, TensorShape]
) -> dict[str, str]:
    """Return the tensors that both models have, in order: the fine-tuned one's name → the base's.

    Raises MergeError when there are none.
    """
    prefix = find_prefix(finetuned.keys(), base.keys())
    renamed = {name: prefix.renamed(name, base) for name in sorted(finetuned)}
    pairs = {name: other for name, other in renamed.items() if other in base}
    if not pairs:
        raise MergeError(
            "the two models have no tensor in common",
            hint="the base is the model that the other one was trained from",
        )
    return pairs


def _require_same_shape(finetuned: Source, name: str, base: Source, other: str) -> None:
    here, there = finetuned.tensors[name].shape, base.tensors[other].shape
    if here != there:
        raise MergeError(
            f"{name!r} is of {here} in {finetuned.label}, and of {there} in {base.label}",
            tensor=name,
            hint="an adapter cannot change shapes: was the vocabulary extended, or is it another "
            "base?",
        )


def _differs(finetuned: Source, name: str, base: Source, other: str, rounding: float) -> bool:
    here, there = finetuned.tensors[name], base.tensors[other]
    if here.shape != there.shape:
        return True
    if here.dtype not in FLOATS or there.dtype not in FLOATS:
        return not torch.equal(finetuned.raw(name), base.raw(other))
    return any(
        not torch.allclose(
            read_finite(finetuned, name, start, min(start + CHUNK, here.size)),
            read_finite(base, other, start, min(start + CHUNK, here.size)),
            rtol=rounding,
            atol=0.0,
        )
        for start in range(0, here.size, CHUNK)
    )


@dataclass(frozen=True, slots=True)
class _Change:
    """The difference of two matrices, read by blocks of rows."""

    finetuned: Source
    name: str
    base: Source
    other: str
    shape: tuple[int, int]

    def compressed(self, choice: RankChoice, key: str, transposed: bool) -> Compressed:
        """Return its approximation, turned where the weight is stored as inputs by outputs."""
        blocks: Callable[[], Iterator[torch.Tensor]] = self.blocks
        if self.shape[0] * self.shape[1] <= RESIDENT:
            blocks = partial(iter, list(self.blocks()))
        found = approximate(blocks, self.shape, choice, key)
        return Compressed(found.factors.transposed, found.error) if transposed else found

    def blocks(self) -> Iterator[torch.Tensor]:
        """Yield the rows, some at a time."""
        height, width = self.shape
        step = max(1, CHUNK // width) * width
        for start in range(0, height * width, step):
            stop = min(start + step, height * width)
            values = self.finetuned.read(self.name, start, stop)
            yield values.sub_(self.base.read(self.other, start, stop)).view(-1, width)
