"""What importers of adapters share: copies to judge, the head that tensors tell, our own record."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from adapterhub_lite.architecture import Architecture, TensorInfo
from adapterhub_lite.bases import fingerprint
from adapterhub_lite.deployment.untrusted import MIB
from adapterhub_lite.errors import BaseModelError, CapabilityError, IntegrityError
from adapterhub_lite.inference.artifact import ArtifactInfo, NeededBase, write_artifact_info
from adapterhub_lite.protocols import ImportOptions, LoadedBase
from adapterhub_lite.specs import Head, HeadKind, ObjectiveSpec, ResolvedBase
from adapterhub_lite.transformer import empty_model
from adapterhub_lite.tuners.files import State, saved_heads

LARGEST: Final = 8 * 1024 * MIB
"""No adapter is larger, in bytes."""
LABELLED: Final[frozenset[HeadKind]] = frozenset(
    {"sequence-classification", "token-classification"}
)


@contextmanager
def staging(source: Path) -> Iterator[Path]:
    """Yield a folder for copies of a stranger's files, which goes afterwards.

    Raises BaseModelError where ``source`` is no folder, and for what does not parse or fit: it is
    the person's input, and no store.
    """
    ref = str(source)
    if not source.is_dir():
        raise BaseModelError(f"there is no folder {source}", ref=ref)
    try:
        with TemporaryDirectory() as work:
            yield Path(work)
    except IntegrityError as error:
        raise BaseModelError(error.message, ref=ref, hint=error.hint) from error


def source_of(source: Path, weights: Path) -> dict[str, str]:
    """Return what the manifest says of where an adapter came from, by its name and its weights."""
    with weights.open("rb") as stream:
        digest = file_digest(stream, "sha256").hexdigest()
    return {"folder": source.resolve().name, "weights_sha256": digest}


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


def held_heads(skeleton: LoadedBase, named: State, architecture: Architecture) -> tuple[str, ...]:
    """Return the head's new modules that an adapter holds; ``named`` has its tensors' names.

    Raises IntegrityError for one that neither the adapter nor the base's files hold.
    """
    held = saved_heads(skeleton, named)
    for name in set(skeleton.new) - set(held):
        part = f".{name.rpartition('.')[2]}."
        if not any(part in f".{tensor}" for tensor in architecture.tensors):
            raise IntegrityError(
                f"neither the adapter nor its base holds the weights of {name!r}",
                hint="give the base that it was trained on: --base REF",
            )
    return held


def write_adapter_info(
    folder: Path, method: str, objective: ObjectiveSpec, head: Head, base: ResolvedBase
) -> None:
    """Write ``adapterhub.json`` of an adapter that needs ``base`` as it is now."""
    info = ArtifactInfo(
        task=objective.task,
        method=method,
        objective=objective.name,
        head=head,
        base=NeededBase(ref=base.ref, fingerprint=fingerprint(base)),
    )
    write_artifact_info(folder, info)
