"""A task's head on a transformer: the model class, its labels, and the layers that are new."""

from collections.abc import Mapping
from typing import Any, Final

from adapterhub_lite.specs import Head, HeadKind

AUTO_CLASSES: Final[Mapping[HeadKind, str]] = {
    "none": "AutoModel",
    "sequence-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "question-answering": "AutoModelForQuestionAnswering",
    "causal-lm": "AutoModelForCausalLM",
    "seq2seq-lm": "AutoModelForSeq2SeqLM",
}
TASK_TYPES: Final[Mapping[HeadKind, str]] = {
    "none": "FEATURE_EXTRACTION",
    "sequence-classification": "SEQ_CLS",
    "token-classification": "TOKEN_CLS",
    "question-answering": "QUESTION_ANS",
    "causal-lm": "CAUSAL_LM",
    "seq2seq-lm": "SEQ_2_SEQ_LM",
}
"""The kind of a head, as PEFT calls it."""
NEW_LAYERS: Final = frozenset(
    {"sequence-classification", "token-classification", "question-answering"}
)
"""Heads that come with layers of their own, which always learn."""


def auto_class(kind: HeadKind) -> Any:
    """Return transformers' auto class for a head."""
    import transformers

    return getattr(transformers, AUTO_CLASSES[kind])


def new_modules(model: Any, head: Head) -> tuple[str, ...]:
    """Return the modules of the head that have to learn: all outside of the bare transformer.

    A pooler belongs to them: it is trained for a head, and many files come without one.
    """
    if head.kind not in NEW_LAYERS:
        return ()
    inner = model.base_model_prefix
    body = getattr(model, inner, None)
    # T5's question answering holds the bare transformer's parts side by side
    inside = {inner} if body is not None else {name for name, _ in _bare_children(model)}
    outer = [name for name, child in model.named_children() if _has_weights(child)]
    pooler = [f"{inner}.pooler"] if _has_weights(getattr(body, "pooler", None)) else []
    return (*(name for name in outer if name not in inside), *pooler)


def _bare_children(model: Any) -> list[tuple[str, Any]]:
    import torch
    from transformers import AutoModel

    with torch.device("meta"):
        return list(AutoModel.from_config(model.config).named_children())


def _has_weights(module: Any) -> bool:
    return module is not None and next(module.parameters(), None) is not None


def head_config(head: Head) -> dict[str, Any]:
    """Return what a head's labels are in a model's config."""
    if head.kind not in NEW_LAYERS or head.kind == "question-answering":
        return {}
    problems = {
        "single-label": "single_label_classification",
        "multi-label": "multi_label_classification",
        "regression": "regression",
    }
    labels = head.labels or ("value",)
    config: dict[str, Any] = {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: number for number, label in enumerate(labels)},
    }
    return config | ({"problem_type": problems[head.problem]} if head.problem else {})


def other_prefix(stored: Any, model_class: Any) -> dict[str, Any]:
    """Rename the body's tensors where a head's class calls the body otherwise than the files do.

    ``stored`` is the files' config. Llama's class for question answering does so; transformers
    would leave its whole body random.
    """
    from transformers import MODEL_MAPPING

    config = type(stored)
    bare = MODEL_MAPPING.get(config, None)
    own = model_class._model_mapping.get(config, None)
    names = [getattr(found, "base_model_prefix", "") for found in (bare, own)]
    if own is None or not all(names) or names[0] == names[1]:
        return {}
    return {"key_mapping": {rf"^{names[0]}\.": f"{names[1]}."}}


def renew_foreign_head(
    model: Any, new: tuple[str, ...], head: Head, stored: Any, report: Mapping[str, Any]
) -> None:
    """Draw a head anew that the files hold for other labels: its rows would mean something else."""
    same = tuple((stored.id2label or {}).values()) == (head.labels or ("value",))
    outer = [name for name in new if "." not in name]
    starts = tuple(f"{name}." for name in outer)
    fresh = any(name.startswith(starts) for name in report["missing_keys"])
    if not head.labels or same or fresh:
        return
    for name in outer:
        for module in model.get_submodule(name).modules():
            for parameter in module.parameters(recurse=False):
                parameter._is_hf_initialized = False
            module._is_hf_initialized = False
            model._init_weights(module)
