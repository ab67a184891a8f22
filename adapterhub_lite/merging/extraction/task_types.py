"""What PEFT calls the task of a model: it decides onto which class an adapter is loaded."""

import re
from collections.abc import Mapping
from typing import Any, Final

from adapterhub_lite.heads import TASK_TYPES
from adapterhub_lite.inference.artifact import ArtifactInfo
from adapterhub_lite.specs import HeadKind

ARCHITECTURES: Final[tuple[tuple[str, HeadKind], ...]] = (
    (r"ForSequenceClassification$", "sequence-classification"),
    (r"ForTokenClassification$", "token-classification"),
    (r"ForQuestionAnswering$", "question-answering"),
    (r"(ForCausalLM|LMHeadModel)$", "causal-lm"),
    (r"ForConditionalGeneration$", "seq2seq-lm"),
    (r"Model$", "none"),
)
"""How the names of transformers' classes end, and which head that is."""


def task_type_of(info: ArtifactInfo | None, config: Mapping[str, Any]) -> str | None:
    """Return PEFT's name by what a version tells, else by its config's class; None: unknown."""
    if info is not None:
        return TASK_TYPES[info.head.kind]
    names = config.get("architectures") or [""]
    kinds = (kind for ending, kind in ARCHITECTURES if re.search(ending, str(names[0])))
    kind = next(kinds, None)
    return None if kind is None else TASK_TYPES[kind]
