"""The rows of the output's tokens: permuted, overlapping, padded and extended vocabularies."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterhub_lite.errors import CapabilityError, MergeError, RecipeError, UserError
from adapterhub_lite.merging.folder.tokenizer import tokenizer_files
from adapterhub_lite.merging.opening import Opened
from adapterhub_lite.merging.vocabulary.vocabulary import plan_vocabulary
from adapterhub_lite.recipes.merge import TokenizerSection
from adapterhub_lite.streaming.sources import StateSource
from tests.unit.merging.vocabularies import (
    EMBEDDINGS,
    WIDTH,
    embedding,
    opened,
    own_embedding,
    section,
    word_pieces,
    words,
    written,
)


def test_equal_tokenizers_move_nothing_and_are_not_parsed(tmp_path: Path) -> None:
    folders = [words(tmp_path / name, ["red", "green"]) for name in "ab"]
    found = [opened(folder) for folder in folders]
    for folder in folders:  # equal, and no tokenizer: parsing either would fail
        (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    for asked in (None, section(), section("union"), section("b")):
        vocabulary = plan_vocabulary(found, None, asked)
        assert vocabulary.row_map is None
        assert vocabulary.rows is None
        assert vocabulary.resized(found[1].source) is found[1].source


def test_an_unchanged_tokenizer_is_copied_byte_for_byte(tmp_path: Path) -> None:
    models = [opened(words(tmp_path / name, ["red", "green"])) for name in "ab"]
    files = tokenizer_files(plan_vocabulary(models, models[1], None), None)
    assert files.made == {}
    assert set(files.copied) == {"tokenizer.json", "tokenizer_config.json"}
    assert (
        files.copied["tokenizer.json"].read_bytes() == (tmp_path / "b/tokenizer.json").read_bytes()
    )


def test_permuted_vocabularies_are_put_in_the_order_of_the_base(tmp_path: Path) -> None:
    base = opened(words(tmp_path / "base", ["red", "green", "blue"]))
    other = opened(words(tmp_path / "other", ["blue", "red", "green"]))
    vocabulary = plan_vocabulary([other], base, section())
    assert vocabulary.rows == 4
    assert vocabulary.resized(base.source) is base.source
    for token in ("[UNK]", "red", "green", "blue"):
        assert torch.equal(embedding(vocabulary, other, token), own_embedding(other, token))


@settings(max_examples=25, deadline=None)
@given(
    owned=st.lists(
        st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=10, unique=True),
        min_size=2,
        max_size=4,
    ),
    with_base=st.booleans(),
    source=st.sampled_from(["base", "union"]),
    multiple=st.sampled_from([None, 1, 8]),
)
def test_every_model_gets_its_own_row_else_the_base_s_else_the_mean(
    tmp_path_factory: pytest.TempPathFactory,
    owned: list[list[str]],
    with_base: bool,
    source: str,
    multiple: int | None,
) -> None:
    place = tmp_path_factory.mktemp("models")
    found = [opened(words(place / f"m{n}", tokens)) for n, tokens in enumerate(owned)]
    base = found[0] if with_base else None
    vocabulary = plan_vocabulary(found, base, section(source, pad_to_multiple_of=multiple))
    expected = set(owned[0]) if source == "base" else set().union(*owned)
    assert set(vocabulary.ids) == expected | {"[UNK]"}
    assert [vocabulary.ids[token] for token in owned[0]] == list(range(1, len(owned[0]) + 1))
    for token in expected:
        having = [model for model, tokens in zip(found, owned, strict=True) if token in tokens]
        for model in found:
            if model in having:
                wanted = own_embedding(model, token)
            elif base in having:
                wanted = own_embedding(found[0], token)
            else:
                rows = [own_embedding(one, token).double() for one in having]
                wanted = (sum(rows) / len(rows)).float()
            assert torch.allclose(embedding(vocabulary, model, token), wanted)
    rows = {vocabulary.resized(model.source).tensors[EMBEDDINGS].shape[0] for model in found}
    assert len(rows) == 1
    assert not multiple or rows.pop() % multiple == 0


def test_padding_rows_are_zero_in_models_that_lack_them(tmp_path: Path) -> None:
    base = opened(words(tmp_path / "base", ["red", "green"]))
    vocabulary = plan_vocabulary([base], base, section(pad_to_multiple_of=8))
    assert vocabulary.rows == 8
    assert not vocabulary.resized(base.source).raw(EMBEDDINGS)[3:].any()


def test_spare_rows_of_the_chosen_model_are_kept(tmp_path: Path) -> None:
    base = opened(words(tmp_path / "base", ["red", "green"]), rows=16)
    other = opened(words(tmp_path / "other", ["red", "green"], ["<|im_start|>"]))
    vocabulary = plan_vocabulary([other], base, section("union"))
    assert vocabulary.rows == 16
    assert vocabulary.ids["<|im_start|>"] == 3
    assert torch.equal(
        embedding(vocabulary, base, "<|im_start|>"), own_embedding(other, "<|im_start|>")
    )


def test_the_tokenizer_of_a_named_model(tmp_path: Path) -> None:
    base = opened(words(tmp_path / "base", ["red", "green"]))
    other = opened(words(tmp_path / "other", ["green", "blue"]))
    vocabulary = plan_vocabulary([other], base, section("other"))
    assert set(vocabulary.ids) == {"[UNK]", "green", "blue"}
    assert torch.equal(embedding(vocabulary, base, "blue"), own_embedding(other, "blue"))
    assert torch.equal(embedding(vocabulary, base, "green"), own_embedding(base, "green"))
    assert any("base lacks 1 of the output's 3 tokens" in note for note in vocabulary.notes)


def tokens(**sources: Any) -> Mapping[str, Any]:
    return {name: {"source": source} for name, source in sources.items()}


def test_a_token_can_come_from_a_model_from_zero_or_from_another_token(tmp_path: Path) -> None:
    base = opened(words(tmp_path / "base", ["red"]))
    one = opened(words(tmp_path / "one", ["red", "green", "blue"]))
    two = opened(words(tmp_path / "two", ["red", "green"]))
    asked = tokens(
        green="two",
        blue={"kind": "model_token", "model": "two", "token": "red"},
        new={"kind": "zero"},
        other={"kind": "model_token", "model": "one", "token_id": 2},
        nothing="zero",
    )
    vocabulary = plan_vocabulary([one, two], base, section("union", tokens=asked))
    assert torch.equal(embedding(vocabulary, base, "green"), own_embedding(two, "green"))
    assert torch.equal(embedding(vocabulary, one, "green"), own_embedding(one, "green"))
    assert torch.equal(embedding(vocabulary, two, "blue"), own_embedding(two, "red"))
    assert torch.equal(embedding(vocabulary, one, "blue"), own_embedding(one, "blue"))
    assert torch.equal(embedding(vocabulary, base, "other"), own_embedding(one, "green"))
    for token in ("new", "nothing"):
        assert not embedding(vocabulary, one, token).any()


def test_a_forced_token_is_the_same_in_every_model(tmp_path: Path) -> None:
    found = [opened(words(tmp_path / name, ["red", "green"])) for name in ("base", "one", "two")]
    asked = {"green": {"source": "two", "force": True}}
    vocabulary = plan_vocabulary(found[1:], found[0], section(tokens=asked))
    for model in found:
        assert torch.equal(embedding(vocabulary, model, "green"), own_embedding(found[2], "green"))
        assert torch.equal(embedding(vocabulary, model, "red"), own_embedding(model, "red"))


def test_a_token_that_is_new_to_all_is_added(tmp_path: Path) -> None:
    base = opened(words(tmp_path / "base", ["red", "green"]))
    asked = tokens(**{"<mark>": {"kind": "model_token", "model": "base", "token": "green"}})
    vocabulary = plan_vocabulary([base], base, section(tokens=asked))
    assert torch.equal(embedding(vocabulary, base, "<mark>"), own_embedding(base, "green"))
    loaded = written(vocabulary, tmp_path / "out")
    assert loaded("red<mark>green")["input_ids"] == [1, vocabulary.ids["<mark>"], 2]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (section("nowhere"), "'nowhere' is no model"),
        (section(tokens=tokens(red="bsae")), "'bsae' is no model"),
        (section(tokens=tokens(new="base")), "base has no embedding of 'new'"),
        (section(tokens=tokens(red={"kind": "model_token", "model": "base"})), "no source"),
        (section(tokens=tokens(red={"kind": "nothing"})), "no source"),
        (
            section(tokens=tokens(red={"kind": "model_token", "model": "base", "token_id": 99})),
            "base has no embedding of 99",
        ),
    ],
)
def test_a_section_that_names_what_is_not_there(
    tmp_path: Path, asked: TokenizerSection, message: str
) -> None:
    base = opened(words(tmp_path / "base", ["red", "green"]))
    with pytest.raises(RecipeError, match=message):
        plan_vocabulary([base], base, asked)


def test_without_a_section_differing_vocabularies_are_refused(tmp_path: Path) -> None:
    base = opened(words(tmp_path / "base", ["red", "green"]))
    other = opened(words(tmp_path / "other", ["green", "red"]))
    with pytest.raises(MergeError, match="has 'red' at another id, and so 1 more") as caught:
        plan_vocabulary([other], base, None)
    assert "union" in caught.value.hint


def test_without_a_section_more_tokens_are_told(tmp_path: Path) -> None:
    base = opened(words(tmp_path / "base", ["red"]), rows=8)
    other = opened(words(tmp_path / "other", ["red", "green"]), rows=8)
    vocabulary = plan_vocabulary([other], base, None)
    assert vocabulary.row_map is None
    assert vocabulary.notes == ["1 tokens of other are not in the output's tokenizer"]


def test_a_section_needs_tokenizers_and_embeddings(tmp_path: Path) -> None:
    base = opened(words(tmp_path / "base", ["red"]))
    bare = Opened(ref="bare", source=base.source, folder=tmp_path, config={})
    blind = Opened(
        ref="blind", source=StateSource({"conv": torch.ones(2)}, "x"), folder=base.folder, config={}
    )
    with pytest.raises(CapabilityError, match="bare has no tokenizer"):
        plan_vocabulary([bare], base, section())
    with pytest.raises(CapabilityError, match="no token embeddings were found in blind"):
        plan_vocabulary([blind], base, section())
    assert plan_vocabulary([bare, blind], base, None).row_map is None


def test_an_adapter_without_a_tokenizer_has_its_base_s(tmp_path: Path) -> None:
    base = opened(words(tmp_path / "base", ["red"]))
    (tmp_path / "adapter").mkdir()
    adapter = Opened(
        ref="adapter",
        source=base.source,
        folder=base.folder,
        config={},
        base=base,
        adapter=tmp_path / "adapter",
    )
    vocabulary = plan_vocabulary([adapter], base, section())
    assert vocabulary.row_map is None


def test_a_broken_tokenizer_is_named(tmp_path: Path) -> None:
    base = opened(words(tmp_path / "base", ["red"]))
    other = opened(words(tmp_path / "other", ["red", "green"]))
    (other.folder / "tokenizer.json").write_text('{"model": 3', encoding="utf-8")
    with pytest.raises(UserError, match=r"tokenizer.json of 'other' does not parse"):
        plan_vocabulary([other], base, section())


def test_vocab_files_without_a_tokenizer_json(tmp_path: Path) -> None:
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "green"]
    base = opened(word_pieces(tmp_path / "fast", tokens))
    folder = tmp_path / "slow"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    weight = torch.arange(7.0 * WIDTH).view(7, WIDTH)
    slow = Opened(
        ref="slow", source=StateSource({EMBEDDINGS: weight}, "slow"), folder=folder, config={}
    )
    vocabulary = plan_vocabulary([slow], base, section())
    assert torch.equal(embedding(vocabulary, slow, "green"), weight[6])


def test_ids_of_special_tokens_are_translated(tmp_path: Path) -> None:
    base = opened(words(tmp_path / "base", ["red", "green"]))
    other = opened(words(tmp_path / "other", ["green", "blue"]))
    vocabulary = plan_vocabulary([other], base, section("other"))
    assert [vocabulary.new_id(base, number) for number in (0, 1, 2)] == [0, None, 1]
    assert [vocabulary.new_id(other, number) for number in (0, 1, 2)] == [0, 1, 2]
    assert np.array_equal(vocabulary.row_map.tables[0], [0, 2, -1])  # type: ignore[union-attr]
