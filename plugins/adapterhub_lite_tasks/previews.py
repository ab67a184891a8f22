"""Rows as each objective trains on them, shown before a weight is loaded.

Every function is a :class:`~adapterhub_lite.protocols.Preview` and takes its features from the code
that trains: what is shown is what will be learnt.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from adapterhub_lite.data.examples import (
    Dialogue,
    Question,
    SimilarTexts,
    SourceTarget,
    TaggedWords,
    ValuedText,
)
from adapterhub_lite.data.table import RowSet, TextSet
from adapterhub_lite.errors import DataError
from adapterhub_lite.finetuning.learner import Feature
from adapterhub_lite.protocols import LoadedBase, Run, TokenisedSample
from adapterhub_lite_tasks.causal import make_format as make_documents
from adapterhub_lite_tasks.causal import settings_of as document_settings
from adapterhub_lite_tasks.common import items_of
from adapterhub_lite_tasks.inputs import IGNORED, TextEncoder, text_encoder
from adapterhub_lite_tasks.packing import pack
from adapterhub_lite_tasks.params import (
    CausalParams,
    QuestionParams,
    Seq2SeqParams,
    SftParams,
    TaggingParams,
    TextParams,
)
from adapterhub_lite_tasks.questions import QuestionLearner, make_reader
from adapterhub_lite_tasks.questions import settings_of as question_settings
from adapterhub_lite_tasks.seq2seq import SourceFormat
from adapterhub_lite_tasks.seq2seq import make_format as make_sources
from adapterhub_lite_tasks.seq2seq import settings_of as source_settings
from adapterhub_lite_tasks.sft import make_format as make_dialogues
from adapterhub_lite_tasks.tagging import TaggingLearner, make_tagger
from adapterhub_lite_tasks.tagging import settings_of as tagging_settings

Samples = list[TokenisedSample]
PARTS = ("anchor", "positive", "negative")


def classification(base: LoadedBase, rows: RowSet, params: TextParams, run: Run) -> Samples:
    """Show each text, or pair, with its labels."""
    assert isinstance(rows, TextSet), "a classifier is trained on labelled texts"
    targets = [", ".join(labels) or "no label" for labels in rows.labels]
    return _texts(text_encoder(base, params.max_length), rows.inputs, targets, run)


def regression(base: LoadedBase, rows: RowSet, params: TextParams, run: Run) -> Samples:
    """Show each text, or pair, with its number."""
    targets = [f"{item.value:g}" for item in items_of(rows, ValuedText)]
    return _texts(text_encoder(base, params.max_length), rows.inputs, targets, run)


def embedding(base: LoadedBase, rows: RowSet, params: TextParams, run: Run) -> Samples:
    """Show each row's texts, which are read apart, with the value of a pair that has one."""
    encoder = text_encoder(base, params.max_length)
    asked: list[tuple[int, str, str, str]] = []
    for row, item in enumerate(items_of(rows, SimilarTexts)):
        target = "" if item.value is None else f"{item.value:g}"
        texts = (item.anchor, item.positive, item.negative)
        asked += [
            (row, part, text, target)
            for part, text in zip(PARTS, texts, strict=True)
            if text is not None
        ]
    features = encoder.encode([text for _, _, text, _ in asked], run)
    return [
        TokenisedSample(
            row=row,
            ids=tuple(feature["input_ids"]),
            part=part,
            target=target,
            cut=_cost(encoder, text, feature),
        )
        for (row, part, text, target), feature in zip(asked, features, strict=True)
    ]


def _texts(
    encoder: TextEncoder, inputs: Sequence[Any], targets: Sequence[str], run: Run
) -> Samples:
    features = encoder.encode(inputs, run)
    return [
        TokenisedSample(
            row=row,
            ids=tuple(feature["input_ids"]),
            target=targets[row],
            cut=_cost(encoder, inputs[row], feature),
        )
        for row, feature in enumerate(features)
    ]


def _cost(encoder: TextEncoder, asked: Any, feature: Feature) -> int:
    """Return how many tokens a text lost; one that is shorter than the limit lost none."""
    if feature["length"] < encoder.max_length:
        return 0
    texts = (asked,) if isinstance(asked, str) else tuple(asked)
    return len(encoder.tokenizer(*texts)["input_ids"]) - int(feature["length"])


def tagging(base: LoadedBase, rows: RowSet, params: TaggingParams, run: Run) -> Samples:
    """Show each window with the tags, which are learnt at each word's first token."""
    items_of(rows, TaggedWords)
    tagger = make_tagger(base, tagging_settings(base, params))
    return [
        TokenisedSample(
            row=feature["row"],
            ids=tuple(feature["input_ids"]),
            learnt=_learnt(feature["labels"]),
            labels=tuple(
                "" if label == IGNORED else tagger.classes[label] for label in feature["labels"]
            ),
        )
        for feature in TaggingLearner(tagger, run).features(rows)
    ]


def questions(base: LoadedBase, rows: RowSet, params: QuestionParams, run: Run) -> Samples:
    """Show each window with the answer's tokens, or that the answer is not in it."""
    items = items_of(rows, Question)
    empty = any(not item.answers for item in items)
    learner = QuestionLearner(make_reader(base, question_settings(base, params, empty)), run)
    return [_window(feature, items[feature["row"]]) for feature in learner.features(rows)]


def _window(feature: Feature, item: Question) -> TokenisedSample:
    start, end, null = feature["start"], feature["end"], feature["null"]
    outside = "the answer is not in this window" if item.answers else "no answer"
    return TokenisedSample(
        row=feature["row"],
        ids=tuple(feature["input_ids"]),
        learnt=tuple(start <= n <= end for n in range(feature["length"])),
        target=outside if start == null else item.answers[0],
    )


def dialogues(base: LoadedBase, rows: RowSet, params: SftParams, run: Run) -> Samples:
    """Show each dialogue as the chat template writes it, with the tokens that are learnt."""
    items = items_of(rows, Dialogue)
    chats = not all(item.plain for item in items)
    written = make_dialogues(base, items, params, run.seed, chats)
    features = written.training(rows, params.too_long, run)
    if not features:
        raise DataError("no dialogue is left to learn from", hint="raise max_length")
    if params.packing:
        packed = pack(features, written.settings.max_length)
        run.emit("packed", rows=len(features), packs=len(packed))
    full = {f["row"] for f in features if f["length"] == written.settings.max_length}
    whole = {row: len(written.encoder.encode(items[row])) for row in sorted(full)}
    return [_sample(f, whole.get(f["row"], f["length"]) - f["length"]) for f in features]


def causal(base: LoadedBase, rows: RowSet, params: CausalParams, run: Run) -> Samples:
    """Show the blocks that documents are joined and cut into; every token but the first learns."""
    written = make_documents(base, document_settings(base, params, run.seed))
    features = written.packed(rows)
    run.emit("packed", rows=len(rows), packs=len(features))
    return [_sample(feature) for feature in features]


def seq2seq(base: LoadedBase, rows: RowSet, params: Seq2SeqParams, run: Run) -> Samples:
    """Show each source and, behind it, the target that is learnt."""
    written = make_sources(base, source_settings(base, params, run.seed), run)
    costs = _lost(written, items_of(rows, SourceTarget))
    return [
        TokenisedSample(
            row=feature["row"],
            ids=(*feature["input_ids"], *feature["labels"]),
            learnt=(False,) * len(feature["input_ids"]) + (True,) * len(feature["labels"]),
            cut=cost,
        )
        for feature, cost in zip(written.training(rows), costs, strict=True)
    ]


def _lost(written: SourceFormat, items: Sequence[SourceTarget]) -> Iterator[int]:
    """Yield how many tokens of each row's source and target are cut."""
    settings = written.settings
    for item in items:
        source = written.tokenizer(settings.prefix + item.source)["input_ids"]
        target = written.tokenizer(text_target=item.target)["input_ids"]
        over = len(source) - settings.max_source_length, len(target) - settings.max_target_length
        yield sum(max(count, 0) for count in over)


def _sample(feature: Feature, cut: int = 0) -> TokenisedSample:
    return TokenisedSample(
        row=feature["row"],
        ids=tuple(feature["input_ids"]),
        learnt=_learnt(feature["labels"]),
        cut=cut,
    )


def _learnt(labels: Sequence[int]) -> tuple[bool, ...]:
    return tuple(label != IGNORED for label in labels)
