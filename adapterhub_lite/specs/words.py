"""The words that specs use: tasks, kinds of rows and heads, capabilities."""

from collections.abc import Mapping
from typing import Final, Literal

Task = Literal[
    "text-classification",
    "token-classification",
    "text-regression",
    "question-answering",
    "text-generation",
    "text2text-generation",
    "sentence-similarity",
]
"""What a trained model does, by the hub's names (``text-regression`` is ours)."""

Answered = Task | Literal["several-answers"]
"""What a version does: a task, or a composition's members answer each input, each by its own."""

Family = Literal["encoder", "decoder", "encoder-decoder"]

RowKind = Literal[
    "labelled-text",
    "tagged-words",
    "valued-text",
    "question",
    "document",
    "dialogue",
    "source-target",
    "similar-texts",
]
"""What a training row is; see :mod:`adapterhub_lite.data.examples`."""

HeadKind = Literal[
    "none",
    "sequence-classification",
    "token-classification",
    "question-answering",
    "causal-lm",
    "seq2seq-lm",
]
"""Which of transformers' model classes a base is loaded as; ``none`` is the bare transformer."""

Capability = Literal[
    "quantised-base",
    "gradient-checkpointing",
    "identity-at-init",
    "bake",
    "several-active",
    "mixed-batch",
    "shared-pass",
    "per-token",
    "fusible",
    "disable",
]

TargetRole = Literal[
    "query-value",
    "key-value",
    "value",
    "attention-output",
    "feed-forward-output",
    "norm",
]

TARGET_ROLES: Final[Mapping[TargetRole, str]] = {
    "query-value": "projections to queries and values, or the one to queries, keys and values",
    "key-value": "projections to keys and values, or the one to queries, keys and values",
    "value": "projections to values",
    "attention-output": "linear layers that end the attention",
    "feed-forward-output": "linear layers that end the feed-forward network",
    "norm": "normalisation layers",
}
"""The parts that modules play in a transformer, as far as a method chooses modules by them."""

ImportChoice = Literal["convert", "base", "labels", "multi-label", "objective"]
"""What a person can tell an importer; see :class:`~adapterhub_lite.protocols.ImportOptions`."""

CAPABILITIES: Final[Mapping[Capability, str]] = {
    "quantised-base": "trains on a base that a loader has quantised",
    "gradient-checkpointing": "trains with gradient checkpointing",
    "identity-at-init": "changes no output until a step is taken",
    "bake": "can be merged into its base exactly",
    "several-active": "several of its kind can be active together",
    "mixed-batch": "rows of one batch can use different adapters",
    "shared-pass": "adapters on one base answer a batch together, in one pass over it",
    "per-token": "tokens of one input can pass through different adapters",
    "fusible": "what several of its kind add to a layer can be weighed there, token by token",
    "disable": "can be switched off to give the base back",
}
"""What a method may declare that it can do; the core refuses what is not declared."""


MergeCapability = Literal[
    "commutative",
    "linear",
    "delta",
    "random",
    "whole-tensor",
    "whole-model",
    "needs-data",
    "low-rank",
]

MERGE_CAPABILITIES: Final[Mapping[MergeCapability, str]] = {
    "commutative": "the order of the models does not matter",
    "linear": "the result is a weighted sum of the inputs",
    "delta": "adds to the base what it makes of the task vectors alone",
    "random": "the result depends on the seed",
    "whole-tensor": "holds a whole tensor of every input in memory, as 32-bit floats",
    "whole-model": "reads every tensor once before the first is merged",
    "needs-data": "computes with rows of data: it loads the models, and keeps statistics in memory",
    "low-rank": "merges adapters as factors, and writes an adapter",
}
"""What a merge strategy may declare of itself; the core plans by it."""
