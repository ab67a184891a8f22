"""What a model that was trained elsewhere is for, and what its outputs are called."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from adapterhub_lite.errors import BaseModelError, CapabilityError
from adapterhub_lite.protocols import ImportOptions
from adapterhub_lite.specs import Head, HeadKind, ObjectiveSpec

CLASSES: Final[Mapping[str, tuple[HeadKind, str]]] = {
    "ForSequenceClassification": ("sequence-classification", "classification"),
    "ForTokenClassification": ("token-classification", "tagging"),
    "ForQuestionAnswering": ("question-answering", "question-answering"),
    "ForQuestionAnsweringSimple": ("question-answering", "question-answering"),
    "ForCausalLM": ("causal-lm", "causal-lm"),
    "LMHeadModel": ("causal-lm", "causal-lm"),
    "ForConditionalGeneration": ("seq2seq-lm", "seq2seq"),
}
"""Ending of a model class → its head, and what the model is taken to be for."""


def objective_of(folder: Path, config: Mapping[str, Any], options: ImportOptions) -> ObjectiveSpec:
    """Return the objective: the person's, else what the folder's model class is for.

    Raises CapabilityError where neither says, or the class has another head.
    """
    sentences = (folder / "modules.json").is_file()
    kind, name = ("none", "embedding") if sentences else _told(config)
    spec = options.find_objective(name)
    if kind is not None and spec.head not in (kind, "none"):
        raise CapabilityError(
            f"the model was trained for {kind}, and {spec.name!r} needs {spec.head}",
            hint=f"leave --objective out: it will be {name}",
        )
    return spec


def _told(config: Mapping[str, Any]) -> tuple[HeadKind | None, str | None]:
    classes = config.get("architectures")
    named = str(classes[0]) if isinstance(classes, list) and classes else ""
    ending = next((ending for ending in CLASSES if named.endswith(ending)), None)
    if ending is None:
        return None, None
    kind, name = CLASSES[ending]
    if kind == "sequence-classification" and config.get("problem_type") == "regression":
        name = "regression"
    return kind, name


def read_head(
    config: Mapping[str, Any], spec: ObjectiveSpec, options: ImportOptions, ref: str
) -> Head:
    """Return the head, its labels as the person calls them, else as the config does.

    Raises CapabilityError for choices that do not fit, BaseModelError for labels that are no names.
    """
    if spec.task == "text-regression":
        return _regression(config, options, ref)
    if spec.head not in ("sequence-classification", "token-classification"):
        _refuse_labels(spec, options)
        return Head(kind=spec.head)
    stored = _labels(config, ref)
    labels = options.labels or stored
    if len(labels) != len(stored):
        raise CapabilityError(
            f"the model's head has {len(stored)} outputs, and {len(labels)} labels were given",
            hint="give one label for each output, in the order of their numbers",
        )
    several = options.multi_label or config.get("problem_type") == "multi_label_classification"
    if several and not spec.multi_label:
        raise CapabilityError(f"the objective {spec.name!r} gives one label")
    if spec.head == "token-classification":
        return Head(kind=spec.head, labels=labels)
    if len(labels) == 1 and not several:
        raise CapabilityError(
            "the model's head has one output, which is no choice among labels",
            hint="take --objective regression, or --multi-label",
        )
    return Head(kind=spec.head, labels=labels, problem="multi-label" if several else "single-label")


def _regression(config: Mapping[str, Any], options: ImportOptions, ref: str) -> Head:
    if options.labels or options.multi_label:
        raise CapabilityError("a regression has no labels")
    if len(_labels(config, ref)) != 1:
        raise CapabilityError(
            "the model's head has several outputs, and a regression has one",
            hint="leave --objective out: it will be classification",
        )
    return Head(kind="sequence-classification", labels=("value",), problem="regression")


def _refuse_labels(spec: ObjectiveSpec, options: ImportOptions) -> None:
    if options.labels or options.multi_label:
        raise CapabilityError(f"the objective {spec.name!r} has no labels")


def _labels(config: Mapping[str, Any], ref: str) -> tuple[str, ...]:
    """Return the config's labels in the order of their numbers; a config without has two."""
    stored = config.get("id2label")
    if stored is None:
        count = config.get("num_labels", 2)
        stored = {str(number): f"LABEL_{number}" for number in range(count)} \
            if isinstance(count, int) else {}  # fmt: skip
    names = (
        [stored.get(str(number)) for number in range(len(stored))]
        if isinstance(stored, dict)
        else []
    )
    labels = tuple(name for name in names if isinstance(name, str) and name.strip())
    if not labels or len(labels) < len(names) or len(set(labels)) < len(labels):
        raise BaseModelError(
            f"the labels in config.json of {ref} are not distinct names",
            ref=ref,
            hint="correct its id2label, which names each output by its number",
        )
    return labels
