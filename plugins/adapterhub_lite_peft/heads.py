"""The head of an adapter that was trained elsewhere, told by its tensors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from adapterhub_lite.architecture import TensorInfo
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.protocols import ImportOptions
from adapterhub_lite.specs import Head, HeadKind, ObjectiveSpec
from adapterhub_lite.transformer import empty_model

LABELLED: Final[frozenset[HeadKind]] = frozenset(
    {"sequence-classification", "token-classification"}
)


def read_head(
    folder: Path,
    objective: ObjectiveSpec,
    tensors: Mapping[str, TensorInfo],
    options: ImportOptions,
) -> Head:
    """Return the head that an adapter was trained with, its labels as the person calls them.

    Raises CapabilityError for another number of labels than it has outputs.
    """
    kind = objective.head
    labelled = kind in LABELLED and objective.task != "text-regression"
    if not labelled and (options.labels or options.multi_label):
        raise CapabilityError(f"the objective {objective.name!r} has no labels")
    if options.multi_label and not objective.multi_label:
        raise CapabilityError(f"the objective {objective.name!r} gives one label")
    if kind not in LABELLED:
        return Head(kind=kind)
    outputs = _outputs(folder, kind, tensors)
    if not labelled:
        _require_one(outputs)
        return Head(kind=kind, labels=("value",), problem="regression")
    labels = options.labels or tuple(f"LABEL_{number}" for number in range(outputs))
    if len(labels) != outputs:
        raise CapabilityError(
            f"the adapter's head has {outputs} outputs, and {len(labels)} labels were given",
            hint="give one label for each output, in the order of their numbers",
        )
    if kind == "token-classification":
        return Head(kind=kind, labels=labels)
    if outputs == 1 and not options.multi_label:
        raise CapabilityError(
            "the adapter's head has one output, which is no choice among labels",
            hint="take --objective regression, or --multi-label",
        )
    return Head(
        kind=kind, labels=labels, problem="multi-label" if options.multi_label else "single-label"
    )


def _require_one(outputs: int) -> None:
    if outputs != 1:
        raise CapabilityError(
            f"the adapter's head has {outputs} outputs, and a regression has one",
            hint="leave --objective out: it will be classification",
        )


def _outputs(folder: Path, kind: HeadKind, tensors: Mapping[str, TensorInfo]) -> int:
    """Return the number of outputs: the rows of the weight that grows with the labels."""
    few, more = (_shapes(folder, kind, labels) for labels in (("a", "b"), ("a", "b", "c")))
    growing = [name for name, shape in few.items() if more[name] != shape]
    for name, info in tensors.items():
        if info.shape and any(f".{name}".endswith(f".{own}") for own in growing):
            return info.shape[0]
    raise CapabilityError(
        "the adapter holds no weights of a head: those it was trained with are lost",
        hint="train it again with modules_to_save: the classifier's name",
    )


def _shapes(folder: Path, kind: HeadKind, labels: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    model = empty_model(folder, Head(kind=kind, labels=labels)).model
    return {name: tuple(value.shape) for name, value in model.named_parameters()}
