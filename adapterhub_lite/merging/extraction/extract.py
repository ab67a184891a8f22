"""A LoRA adapter out of a whole fine-tuned model: the low-rank part of its difference from a base.

Each matrix of a linear layer is approximated by itself. What differs beside them (norms, biases,
embeddings) has no such form; it is reported, and the caller decides.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import torch

from adapterhub_lite.errors import MergeError
from adapterhub_lite.merging.adapters.randomised import approximate
from adapterhub_lite.merging.engine import one_torch_thread
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
class Differences:
    """In which tensors a fine-tuned model differs from its base.

    ``layers`` are linear layers by the module's name, each with its weight's name in both models;
    ``transposed`` names those that are stored as inputs by outputs. ``rest`` are tensors that
    differ and are no linear layer's weight, with their names in the base. ``new`` are those that
    the base has not, ``missing`` those that only the base has; ``unchanged`` counts equal ones.
    """

    layers: Mapping[str, tuple[str, str]]
    transposed: frozenset[str]
    rest: Mapping[str, str]
    new: tuple[str, ...]
    missing: tuple[str, ...]
    unchanged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction(Differences):
    """The layers' differences as factors, in the orientation of LoRA, by the module's name."""

    modules: Mapping[str, Compressed]


def extract_lora(
    finetuned: Source,
    base: Source,
    choice: RankChoice,
    *,
    kind_of: KindOf | None = None,
    seed: int = 0,
) -> Extraction:
    """Approximate what ``finetuned`` adds to ``base`` by factors, matrix by matrix.

    As :func:`compare_models` and then :func:`decompose`.
    """
    return decompose(compare_models(finetuned, base, kind_of), finetuned, base, choice, seed=seed)


def compare_models(finetuned: Source, base: Source, kind_of: KindOf | None = None) -> Differences:
    """Find the tensors that differ; names may do so by the prefix of a model with a head.

    ``kind_of`` tells which weights are linear layers' (by default from their names). Raises
    MergeError for models of different shapes, and for numbers that are not finite.
    """
    pairs = paired_names(finetuned.tensors, base.tensors)
    layers: dict[str, tuple[str, str]] = {}
    transposed: set[str] = set()
    rest: dict[str, str] = {}
    for name, other in pairs.items():
        if not _differs(finetuned, name, base, other):
            continue
        kind = (kind_of or kind_by_name)(name, finetuned.tensors[name].shape)
        if kind == "other":
            rest[name] = other
            continue
        module = name.removesuffix(".weight")
        layers[module] = (name, other)
        transposed |= {module} if kind == "transposed" else set()
    return Differences(
        layers=layers,
        transposed=frozenset(transposed),
        rest=rest,
        new=tuple(sorted(finetuned.tensors.keys() - pairs.keys())),
        missing=tuple(sorted(base.tensors.keys() - set(pairs.values()))),
        unchanged=len(pairs) - len(layers) - len(rest),
    )


def decompose(
    found: Differences,
    finetuned: Source,
    base: Source,
    choice: RankChoice,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Extraction:
    """Approximate each layer's difference by factors of the rank that is chosen.

    ``progress`` is called with the layers done, and all of them.
    """
    modules: dict[str, Compressed] = {}
    for done, (module, (name, other)) in enumerate(found.layers.items(), 1):
        height, width = finetuned.tensors[name].shape
        change = _Change(finetuned, name, base, other, (height, width))
        modules[module] = change.compressed(choice, f"{seed}/{name}", module in found.transposed)
        if progress is not None:
            progress(done, len(found.layers))
    return Extraction(
        layers=found.layers,
        transposed=found.transposed,
        rest=found.rest,
        new=found.new,
        missing=found.missing,
        unchanged=found.unchanged,
        modules=modules,
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


def _differs(finetuned: Source, name: str, base: Source, other: str) -> bool:
    """Say whether two tensors differ; raises MergeError for shapes that do."""
    here, there = finetuned.tensors[name], base.tensors[other]
    if here.shape != there.shape:
        raise MergeError(
            f"{name!r} is of {here.shape} in {finetuned.label}, and of {there.shape} in "
            f"{base.label}",
            tensor=name,
            hint="an adapter cannot change shapes: was the vocabulary extended, or is it another "
            "base?",
        )
    if here.dtype not in FLOATS or there.dtype not in FLOATS:
        return not torch.equal(finetuned.raw(name), base.raw(other))
    return any(
        not torch.equal(
            read_finite(finetuned, name, start, min(start + CHUNK, here.size)),
            read_finite(base, other, start, min(start + CHUNK, here.size)),
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
        with one_torch_thread():
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
