"""Tagging: every word has one sub-word that carries its tag, however long the row."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from adapterhub_lite.data.examples import Examples, TaggedWords
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.testing import TINY_ROWS
from adapterhub_lite_tasks.inputs import IGNORED
from adapterhub_lite_tasks.params import TaggingParams
from adapterhub_lite_tasks.settings import TaggerSettings
from adapterhub_lite_tasks.tagging import Tagger, Tagging, TaggingLearner
from adapterhub_lite_tasks.words import WordWindows

WORDS = st.lists(st.text("abcdé hums,12", min_size=1, max_size=9), max_size=60)


def rows_of(*items: TaggedWords) -> Examples[TaggedWords]:
    return Examples("tagged-words", items, {})


def tagged(text: str) -> TaggedWords:
    words = tuple(text.split())
    return TaggedWords(words, tuple("B-LONG" if len(word) > 3 else "O" for word in words))


ROWS = rows_of(*(tagged(text) for text, _ in TINY_ROWS))
MODELS = ("bert", "roberta", "distilbert", "gpt2", "llama", "t5")


@given(rows=st.lists(WORDS, min_size=1, max_size=3), length=st.integers(8, 40))
@settings(max_examples=60)
def test_each_word_is_read_once_at_its_first_sub_word(
    byte_tokenizer: Any, rows: list[list[str]], length: int
) -> None:
    rows = [[word.strip() for word in row if word.strip()] for row in rows]
    windows = WordWindows(byte_tokenizer, length, segments=False, pad=0)
    features = windows.encode(rows)
    for number, words in enumerate(rows):
        own = [feature for feature in features if feature["row"] == number]
        read = [word for feature in own for word in feature["words"] if word >= 0]
        assert sorted(read) == list(range(len(words)))
        for feature in own:
            assert feature["length"] <= length
            for token, word in zip(feature["input_ids"], feature["words"], strict=True):
                # Bytes of a letter like é are no text of their own.
                piece = byte_tokenizer.decode([token]).strip()
                assert word < 0 or "�" in piece or words[word].startswith(piece)


class ByWord(nn.Module):
    """Gives every token the tag that its own number says, wherever it stands."""

    def __init__(self, tags: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(tags))
        self.config = SimpleNamespace()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        return SimpleNamespace(logits=9 * self.weight[input_ids % len(self.weight)])


@given(length=st.integers(8, 30), count=st.integers(0, 70))
@settings(max_examples=40)
def test_long_rows_get_a_tag_for_every_word(byte_tokenizer: Any, length: int, count: int) -> None:
    words = tuple(f"x{chr(97 + n % 26)}" for n in range(count))
    windows = WordWindows(byte_tokenizer, length, segments=False, pad=0)
    scorer = Tagger(ByWord(5), windows, TaggerSettings(labels=tuple("ABCDE"), max_length=length))
    # The space before a word is a token of its own here: the letter x is what a word begins with.
    (first,) = byte_tokenizer("x")["input_ids"]
    assert all(first in byte_tokenizer(f" {word}")["input_ids"] for word in words)
    expected = ("ABCDE"[first % 5],) * count
    (found,) = scorer.predict([words])
    assert found.tags == expected


def test_a_word_without_a_token_is_tagged_outside(byte_tokenizer: Any) -> None:
    windows = WordWindows(byte_tokenizer, 16, segments=False, pad=0)
    scorer = Tagger(ByWord(2), windows, TaggerSettings(labels=("B-X", "O"), max_length=16))
    (found,) = scorer.predict([("saw", " ", "hums")])
    assert len(found.tags) == 3
    assert found.tags[1] == "O"


def test_labels_stand_at_first_sub_words_and_are_counted(byte_tokenizer: Any, run: Any) -> None:
    windows = WordWindows(byte_tokenizer, 8, segments=False, pad=0)
    scorer = Tagger(ByWord(2), windows, TaggerSettings(labels=("B-LONG", "O"), max_length=8))
    learner = TaggingLearner(scorer, run)
    rows = rows_of(tagged("naïve façades are hammering ahead of it"), tagged("a"))
    batch = learner.collate(learner.features(rows))
    assert learner.units(batch) == 8
    assert (batch["labels"] == 0).sum() == 4
    assert (batch["labels"][batch["attention_mask"] == 0] == IGNORED).all()
    assert run.of("windows")[0]["rows"] == 2


@pytest.mark.parametrize("model_type", MODELS)
def test_it_learns_saves_and_reloads(
    train: Any, reload: Any, tmp_path: Path, model_type: str
) -> None:
    params = TaggingParams(epochs=14, learning_rate=3e-3, max_length=8)
    outcome, attached = train(Tagging(), model_type, ROWS, params)
    scored = outcome.scorer.score(ROWS)
    right = [a == b for one, other in zip(scored.truth, scored.decision, strict=True)
             for a, b in zip(one, other, strict=True)]  # fmt: skip
    assert np.mean(right) > 0.8
    again = reload(Tagging(), outcome, attached, tmp_path / "version")
    for one, other in zip(again.score(ROWS).scores, scored.scores, strict=True):
        np.testing.assert_array_equal(one, other)
    alone = outcome.scorer.probabilities(ROWS.inputs[:1])[0]
    np.testing.assert_allclose(alone, scored.scores[0], atol=1e-5)


def test_a_slow_tokenizer_is_refused(make_base: Any, run: Any) -> None:
    base = make_base("bert", Tagging().head(ROWS, TaggingParams()))
    base.tokenizer = SimpleNamespace(is_fast=False)
    from adapterhub_lite_tasks.tagging import make_tagger

    with pytest.raises(CapabilityError, match="fast tokenizer"):
        make_tagger(base, TaggerSettings(labels=("A", "B"), max_length=8))


def test_tags_that_do_not_match_their_words_are_refused() -> None:
    rows = rows_of(TaggedWords(("a", "b"), ("O",)), tagged("hammer it"))
    assert "1 rows" in Tagging().check(rows, TaggingParams())[0]
    assert "two tags" in Tagging().check(rows_of(tagged("a")), TaggingParams())[0]
