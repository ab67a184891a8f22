"""One tokenizer of several: what it encodes in transformers, and what cannot become one."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.merging.vocabulary.vocabulary import plan_vocabulary
from adapterhub_lite.transformer import load_tokenizer
from tests.unit.merging.vocabularies import (
    EMBEDDINGS,
    opened,
    pieces,
    save,
    section,
    word_pieces,
    words,
    written,
)


def test_a_union_of_words_encodes_the_words_of_all(tmp_path: Path) -> None:
    base = opened(words(tmp_path / "base", ["red", "green"], ["<s>"], bos_token="<s>"))
    other = opened(words(tmp_path / "other", ["blue", "red"], ["<t>"]))
    vocabulary = plan_vocabulary([other], base, section("union"))
    loaded = written(vocabulary, tmp_path / "out")
    assert loaded.get_vocab() == vocabulary.ids
    encoded = loaded("<s>red blue<t>green black")["input_ids"]
    assert encoded == [vocabulary.ids[t] for t in ("<s>", "red", "blue", "<t>", "green", "[UNK]")]
    assert "<t>" in loaded.added_tokens_encoder
    assert vocabulary.ids["<s>"] == 3


MERGES = (("a", "b"), ("ab", "c"), ("d", "e"))


def test_a_union_of_marks_on_the_same_pieces_is_exact(tmp_path: Path) -> None:
    base = opened(pieces(tmp_path / "base", MERGES, ["<|x|>"]))
    other = opened(pieces(tmp_path / "other", MERGES, ["<|y|>", "<|x|>"]))
    vocabulary = plan_vocabulary([other], base, section("union"))
    loaded = written(vocabulary, tmp_path / "out")
    alone = {m.ref: Tokenizer.from_file(str(m.folder / "tokenizer.json")) for m in (base, other)}
    for text in ("abc<|x|>de f", "<|y|>abde<|x|>c", "fab"):
        found = loaded.convert_ids_to_tokens(loaded(text)["input_ids"])
        assert found == alone["other"].encode(text).tokens
        if "<|y|>" not in text:
            assert loaded(text)["input_ids"] == alone["base"].encode(text).ids
    assert vocabulary.notes


def test_flags_of_added_tokens_are_the_donor_s(tmp_path: Path) -> None:
    base = opened(words(tmp_path / "base", ["red"]))
    folder = words(tmp_path / "other", ["red"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens([AddedToken("<m>", lstrip=True, rstrip=True, normalized=False)])
    tokenizer.save(str(folder / "tokenizer.json"))
    vocabulary = plan_vocabulary([opened(folder)], base, section("union"))
    loaded = written(vocabulary, tmp_path / "out")
    mark = loaded.added_tokens_decoder[vocabulary.ids["<m>"]]
    assert (mark.lstrip, mark.rstrip, mark.special) == (True, True, False)


def test_a_config_that_lists_added_tokens_lists_the_new_ones(tmp_path: Path) -> None:
    listed = {"2": {"content": "<s>", "special": True, "normalized": False}}
    base = opened(words(tmp_path / "base", ["red"], ["<s>"], added_tokens_decoder=listed))
    other = opened(words(tmp_path / "other", ["red"], ["<t>"]))
    vocabulary = plan_vocabulary([other], base, section("union"))
    assert written(vocabulary, tmp_path / "out").get_vocab() == vocabulary.ids
    config = json.loads((tmp_path / "out/tokenizer_config.json").read_text(encoding="utf-8"))
    assert [config["added_tokens_decoder"][n]["content"] for n in ("2", "3")] == ["<s>", "<t>"]


def test_a_special_token_that_only_the_config_names_counts(tmp_path: Path) -> None:
    base = opened(words(tmp_path / "base", ["red"]))
    other = opened(words(tmp_path / "other", ["red"], pad_token="<pad>"), rows=3)
    vocabulary = plan_vocabulary([other], base, section("union"))
    assert vocabulary.ids["<pad>"] == 2 == load_tokenizer(other.folder).get_vocab()["<pad>"]
    row = vocabulary.resized(base.source).raw(EMBEDDINGS)[2]
    assert torch.equal(row, other.source.raw(EMBEDDINGS)[2])


def scored(folder: Path, scores: Mapping[str, float]) -> Path:
    tokenizer = Tokenizer(models.Unigram([("[UNK]", 0.0), *scores.items()], 0, False))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<s>"])
    return save(folder, tokenizer)


def test_a_union_of_word_pieces_says_that_words_are_split_otherwise(tmp_path: Path) -> None:
    base = opened(word_pieces(tmp_path / "base", ["play", "##ing"]))
    other = opened(word_pieces(tmp_path / "other", ["play", "##s", "##ing"]))
    vocabulary = plan_vocabulary([other], base, section("union"))
    loaded = written(vocabulary, tmp_path / "out")
    assert loaded.tokenize("playings") == ["play", "##ing", "##s"]
    assert any("may be split otherwise" in note for note in vocabulary.notes)


def test_a_union_of_scored_pieces_keeps_every_id(tmp_path: Path) -> None:
    base = opened(scored(tmp_path / "base", {"a": -1.0, "b": -2.0}))
    other = opened(scored(tmp_path / "other", {"b": -2.0, "ab": -0.5}))
    vocabulary = plan_vocabulary([other], base, section("union"))
    assert vocabulary.ids == {"[UNK]": 0, "a": 1, "b": 2, "<s>": 3, "ab": 4}
    loaded = written(vocabulary, tmp_path / "out")
    assert loaded("<s>ab b")["input_ids"] == [3, 4, 2]


def lowered(folder: Path) -> Path:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def split_bytes(folder: Path) -> Path:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_tokenizers_that_split_otherwise_do_not_become_one(tmp_path: Path) -> None:
    word_base = words(tmp_path / "words", ["red"])
    piece_base = pieces(tmp_path / "pieces", MERGES)
    scored_base = scored(tmp_path / "scored", {"a": -1.0})
    pairs = [
        (word_base, lowered(words(tmp_path / "lowered", ["red"])), "normalisers differ"),
        (word_base, split_bytes(words(tmp_path / "bytes", ["red"])), "pre-tokenisers differ"),
        (word_base, pieces(tmp_path / "kind", MERGES), "one is WordLevel and the other BPE"),
        (piece_base, pieces(tmp_path / "merges", MERGES[:2]), "merges differ"),
        (scored_base, scored(tmp_path / "scores", {"a": -1.5}), "different scores"),
    ]
    for base, other, message in pairs:
        under = opened(base)
        with pytest.raises(CapabilityError, match=message) as caught:
            plan_vocabulary([opened(other)], under, section("union"))
        assert "tokenizer: base" in caught.value.hint
        assert plan_vocabulary([opened(other)], under, section("base")).chosen == 0
