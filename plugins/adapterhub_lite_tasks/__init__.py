"""Objectives for every task, all on the shared training loop."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import ConformanceCase, Family, ObjectiveSpec
from adapterhub_lite_tasks.params import (
    CausalParams,
    ClassificationParams,
    EmbeddingParams,
    QuestionParams,
    RegressionParams,
    Seq2SeqParams,
    SftParams,
    TaggingParams,
)

EVERY: Final[frozenset[Family]] = frozenset({"encoder", "decoder", "encoder-decoder"})
DECODER: Final[frozenset[Family]] = frozenset({"decoder"})
FEW_STEPS: Final = {"max_steps": 6, "batch_size": 64}
"""A batch holds all rows of the conformance kit, so that losses are of the same rows."""
SHORT: Final[Mapping[str, Mapping[str, Any]]] = {
    "classification": {},
    "tagging": {},
    "regression": {},
    "question-answering": {"max_length": 48, "stride": 8},
    "embedding": {"max_length": 32},
    "causal-lm": {"block_size": 16, "max_new_tokens": 4},
    "sft": {"template": "plain", "max_length": 64, "max_new_tokens": 4},
    "seq2seq": {"max_new_tokens": 4},
}
"""Objective → further parameters that make the conformance kit's trainings short."""


@hookimpl
def adapterhub_objectives() -> Iterator[ObjectiveSpec]:
    """Offer one objective a task, and two for text generation."""
    yield from _reading()
    yield from _writing()


def _reading() -> Iterator[ObjectiveSpec]:
    yield ObjectiveSpec(
        name="classification",
        summary="Labels of texts or pairs of texts, one a row or several.",
        implementation="adapterhub_lite_tasks.classification:Classification",
        preview="adapterhub_lite_tasks.previews:classification",
        adopts=True,
        task="text-classification",
        params=ClassificationParams,
        rows="labelled-text",
        families=EVERY,
        head="sequence-classification",
        multi_label=True,
        pairs=True,
    )
    yield ObjectiveSpec(
        name="tagging",
        summary="A tag for every word: names, parts of speech.",
        implementation="adapterhub_lite_tasks.tagging:Tagging",
        preview="adapterhub_lite_tasks.previews:tagging",
        adopts=True,
        task="token-classification",
        params=TaggingParams,
        rows="tagged-words",
        families=EVERY,
        head="token-classification",
    )
    yield ObjectiveSpec(
        name="regression",
        summary="A number for a text or a pair of texts.",
        implementation="adapterhub_lite_tasks.regression:Regression",
        preview="adapterhub_lite_tasks.previews:regression",
        adopts=True,
        task="text-regression",
        params=RegressionParams,
        rows="valued-text",
        families=EVERY,
        head="sequence-classification",
        pairs=True,
    )
    yield ObjectiveSpec(
        name="question-answering",
        summary="The span of a context that answers a question, or that there is none.",
        implementation="adapterhub_lite_tasks.questions:QuestionAnswering",
        preview="adapterhub_lite_tasks.previews:questions",
        paper="https://arxiv.org/abs/1806.03822",
        adopts=True,
        task="question-answering",
        params=QuestionParams,
        rows="question",
        families=EVERY,
        head="question-answering",
    )
    yield ObjectiveSpec(
        name="embedding",
        summary="Sentence embeddings from pairs, triplets or valued pairs of texts.",
        implementation="adapterhub_lite_tasks.embedding:Embedding",
        preview="adapterhub_lite_tasks.previews:embedding",
        paper="https://arxiv.org/abs/1705.00652",
        adopts=True,
        task="sentence-similarity",
        params=EmbeddingParams,
        rows="similar-texts",
        families=frozenset({"encoder", "decoder"}),
        pairs=True,
    )


def _writing() -> Iterator[ObjectiveSpec]:
    yield ObjectiveSpec(
        name="causal-lm",
        summary="The language of raw text: adapts a language model to a domain.",
        implementation="adapterhub_lite_tasks.causal:CausalLanguage",
        preview="adapterhub_lite_tasks.previews:causal",
        paper="https://arxiv.org/abs/2004.10964",
        adopts=True,
        task="text-generation",
        params=CausalParams,
        rows="document",
        families=DECODER,
        head="causal-lm",
    )
    yield ObjectiveSpec(
        name="sft",
        summary="Answers: supervised fine-tuning on prompts and completions, or on chats.",
        implementation="adapterhub_lite_tasks.sft:SupervisedFineTuning",
        preview="adapterhub_lite_tasks.previews:dialogues",
        paper="https://arxiv.org/abs/2203.02155",
        adopts=True,
        task="text-generation",
        params=SftParams,
        rows="dialogue",
        families=DECODER,
        head="causal-lm",
    )
    yield ObjectiveSpec(
        name="seq2seq",
        summary="One text into another: summarise, translate. For a decoder take sft.",
        implementation="adapterhub_lite_tasks.seq2seq:SequenceToSequence",
        preview="adapterhub_lite_tasks.previews:seq2seq",
        paper="https://arxiv.org/abs/1910.10683",
        adopts=True,
        task="text2text-generation",
        params=Seq2SeqParams,
        rows="source-target",
        families=frozenset({"encoder-decoder"}),
        head="seq2seq-lm",
    )


@hookimpl
def adapterhub_conformance() -> Iterator[ConformanceCase]:
    """Make the conformance kit's trainings short."""
    for name, params in SHORT.items():
        yield ConformanceCase(kind="objective", name=name, params={**FEW_STEPS, **params})
