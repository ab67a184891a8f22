"""Language models of raw text, and of sources and targets."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from adapterhub_lite.data.examples import Document, Examples, SourceTarget
from adapterhub_lite.protocols import Attached
from adapterhub_lite.testing import TINY_ROWS
from adapterhub_lite_tasks.causal import CausalLanguage
from adapterhub_lite_tasks.likelihood import sequence_batch, summed_loss
from adapterhub_lite_tasks.params import CausalParams, Seq2SeqParams
from adapterhub_lite_tasks.seq2seq import SequenceToSequence

DOCUMENTS = Examples("document", tuple(Document(text) for text, _ in TINY_ROWS), {})
SOURCES = Examples("source-target", tuple(SourceTarget(*row) for row in TINY_ROWS), {})
ONE_STEP = {"max_steps": 1, "max_new_tokens": 4}


def documents(*texts: str) -> Examples[Document]:
    return Examples("document", tuple(map(Document, texts)), {})


@pytest.fixture
def language(train: Any) -> Any:
    return train(CausalLanguage(), "gpt2", DOCUMENTS, CausalParams(block_size=8, **ONE_STEP))


def test_perplexity_is_that_of_a_computation_by_hand(language: Any) -> None:
    """A document shorter than a block: one pass, log-softmax, the tokens after the first."""
    outcome, attached = language
    ids = attached.tokenizer("the saw is heavy", add_special_tokens=False)["input_ids"]
    stream = torch.tensor([[2, *ids, 3]])  # [CLS] … end
    with torch.no_grad():
        likely = attached.model(input_ids=stream).logits.double().log_softmax(-1)
    hand = -sum(likely[0, at, token].item() for at, token in enumerate(stream[0, 1:].tolist()))
    ((nats, tokens),) = outcome.scorer.likelihood(documents("the saw is heavy"))
    assert tokens == 5
    assert math.exp(nats / tokens) == pytest.approx(math.exp(hand / 5), rel=1e-5)


@given(counts=st.lists(st.integers(0, 30), min_size=1, max_size=6), size=st.integers(2, 12))
def test_every_token_of_the_stream_is_learnt_once(counts: list[int], size: int) -> None:
    from adapterhub_lite_tasks.causal import DocumentFormat
    from adapterhub_lite_tasks.settings import CausalSettings, GenerationSettings

    generation = GenerationSettings(
        max_new_tokens=1, num_beams=1, temperature=0.0, top_p=1.0, seed=0, stops=(9,)
    )
    settings = CausalSettings(block_size=size, generation=generation)
    written = DocumentFormat(_Letters(), settings, pad=0, end=9)
    rows = documents(*("x" * count for count in counts))
    stream = [t for count in counts for t in (*range(10, 10 + count), 9)]
    features = written.packed(rows)
    learnt = [label for f in features for label in f["labels"] if label != -100]
    assert learnt == stream[1:]
    assert all(f["length"] == len(f["input_ids"]) <= size for f in features)
    for f in features:
        assert f["labels"][1:] == f["input_ids"][1:]
    scored = [label for f in written.examples(rows) for label in f["labels"] if label != -100]
    assert len(scored) == sum(counts), "a document's first token has nothing before it"


class _Letters:
    """A tokenizer that numbers letters by their place and puts nothing around a text."""

    def __call__(self, text: str, **options: Any) -> dict[str, list[int]]:
        return {"input_ids": list(range(10, 10 + len(text)))}


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_perplexity_falls_and_the_version_reloads(
    train: Any, reload: Any, tmp_path: Path, model_type: str
) -> None:
    params = CausalParams(block_size=16, epochs=10, learning_rate=3e-3, max_new_tokens=4)
    before = train(CausalLanguage(), model_type, DOCUMENTS, CausalParams(**ONE_STEP))[0]
    outcome, attached = train(CausalLanguage(), model_type, DOCUMENTS, params, DOCUMENTS)
    found = outcome.scorer.score(DOCUMENTS)
    assert found.scores[:, 0].sum() < 0.8 * before.scorer.score(DOCUMENTS).scores[:, 0].sum()
    assert set(found.decision) == {None}
    nats, tokens = found.scores.sum(0)
    assert outcome.selection == pytest.approx(-nats / tokens)
    again = reload(CausalLanguage(), outcome, attached, tmp_path / "version")
    np.testing.assert_array_equal(again.score(DOCUMENTS).scores, found.scores)
    texts = ["the", "please a heavy", "my pear was"]
    together = [one.text for one in again.predict(texts)]
    assert together == [again.predict([text])[0].text for text in texts]


def test_sequence_loss_is_transformers_own(make_base: Any) -> None:
    base = make_base("t5", SequenceToSequence().head(SOURCES, Seq2SeqParams()))
    features = [
        {"input_ids": [5, 6, 7, 3], "labels": [8, 9, 3], "length": 7, "row": 0},
        {"input_ids": [5, 3], "labels": [8, 9, 10, 11, 3], "length": 7, "row": 1},
    ]
    batch = sequence_batch(features, 0, 0)
    with torch.no_grad():
        theirs = base.model(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            labels=batch["labels"],
        )
        ours = summed_loss(base.model, batch)
        smooth = summed_loss(base.model, batch, 0.1)
    assert ours.item() / 8 == pytest.approx(theirs.loss.item(), rel=1e-5)
    smoothed = nn.CrossEntropyLoss(label_smoothing=0.1)
    expected = smoothed(theirs.logits.flatten(0, 1), batch["labels"].flatten())
    assert smooth.item() / 8 == pytest.approx(expected.item(), rel=1e-5)


def test_a_sequence_model_learns_saves_and_reloads(train: Any, reload: Any, tmp_path: Path) -> None:
    params = Seq2SeqParams(epochs=20, learning_rate=3e-3, max_new_tokens=4, prefix="please ")
    outcome, attached = train(SequenceToSequence(), "t5", SOURCES, params)
    scored = outcome.scorer.score(SOURCES)
    assert np.mean(scored.truth == scored.decision) > 0.6
    again = reload(SequenceToSequence(), outcome, attached, tmp_path / "version")
    np.testing.assert_array_equal(again.score(SOURCES).scores, scored.scores)
    alone = [again.predict([text])[0].text for text in SOURCES.inputs[:4]]
    assert alone == list(scored.decision[:4])
    assert again.predict(SOURCES.inputs[:1])[0].finish == "stop"


def test_cut_sources_and_targets_are_counted(train: Any, run: Any) -> None:
    rows = Examples("source-target", (SourceTarget("the " * 20, "saw " * 9), *SOURCES.items), {})
    params = Seq2SeqParams(max_source_length=16, max_target_length=6, **ONE_STEP)
    outcome, _ = train(SequenceToSequence(), "t5", rows, params)
    assert run.of("truncated") == [
        {"rows": 1, "of": 19, "max_length": 16},
        {"rows": 1, "of": 19, "max_length": 6},
    ]
    features = outcome.scorer.format.examples(rows)
    assert len(features[0]["input_ids"]) == 16
    assert features[0]["labels"][-1] == 3
    assert len(features[0]["labels"]) == 6


def test_beams_are_kept_in_the_version(train: Any, reload: Any, tmp_path: Path) -> None:
    params = Seq2SeqParams(num_beams=3, **ONE_STEP)
    outcome, attached = train(SequenceToSequence(), "t5", SOURCES, params)
    assert isinstance(attached, Attached)
    again = reload(SequenceToSequence(), outcome, attached, tmp_path / "version")
    assert again.format.generation.num_beams == 3
    assert [p.text for p in again.predict(["the"])] == [
        p.text for p in outcome.scorer.predict(["the"])
    ]


def test_empty_rows_are_refused() -> None:
    assert CausalLanguage().check(documents(" "), CausalParams())
    empty = Examples("source-target", (SourceTarget("a", " "),), {})
    assert "1 rows" in SequenceToSequence().check(empty, Seq2SeqParams())[0]
