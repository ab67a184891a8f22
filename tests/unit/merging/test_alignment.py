"""Names of several models are brought together by rule, and each rule is told."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from adapterhub_lite.errors import MergeError
from adapterhub_lite.merging.alignment.align import Alignment, Member, align
from adapterhub_lite.streaming.adapters.source import open_adapter
from adapterhub_lite.streaming.sources import Source, StateSource
from adapterhub_lite.streaming.tensors import MergeTensor, Origin

State = dict[str, torch.Tensor]
VOCABULARY = "embeddings.word_embeddings.weight"
LAYER = "encoder.layer.0.dense.weight"


def number(value: float, *shape: int) -> torch.Tensor:
    return torch.full(shape or (2, 2), float(value))


def encoder(value: float, prefix: str = "", **more: torch.Tensor) -> State:
    """Return a tiny encoder's tensors, all of one number."""
    state = {prefix + VOCABULARY: number(value, 4, 2), prefix + LAYER: number(value)}
    return state | {name.replace("__", "."): tensor for name, tensor in more.items()}


def decoder(value: float, head: float | None = None) -> State:
    state = {
        "model.embed_tokens.weight": number(value, 4, 2),
        "model.layers.0.q.weight": number(value),
    }
    return state if head is None else state | {"lm_head.weight": number(head, 4, 2)}


def member(state: State, label: str = "model", **config: Any) -> Member:
    return Member(StateSource(state, label), config)


def read(source: Source | None, name: str) -> float:
    """Return the number that a tensor is full of."""
    assert source is not None
    values = source.read(name, 0, source.tensors[name].size)
    assert torch.equal(source.raw(name).reshape(-1).float(), values)
    assert values.min() == values.max()
    return float(values[0])


def names(alignment: Alignment) -> set[str]:
    """Return the tensors that all have; each model has exactly those."""
    for source in (*alignment.models, *([alignment.base] if alignment.base else [])):
        assert list(source.tensors) == list(alignment.tensors)
    return set(alignment.tensors)


def told(alignment: Alignment, *parts: str) -> bool:
    return any(all(part in notice for part in parts) for notice in alignment.notices)


def test_models_that_agree_are_left_as_they_are() -> None:
    base, models = member(encoder(0)), [member(encoder(1)), member(encoder(2))]
    aligned = align(models, base=base)
    assert aligned.base is base.source
    assert aligned.models == (models[0].source, models[1].source)
    assert not aligned.notices
    assert not aligned.config
    assert not aligned.copied
    aligned.require_one_vocabulary()


@pytest.mark.parametrize("prefix", ["bert.", "roberta.", "model.", "transformer."])
def test_a_prefix_is_taken_off(prefix: str) -> None:
    aligned = align([member(encoder(1, prefix))], base=member(encoder(0)))
    assert names(aligned) == {VOCABULARY, LAYER}
    assert read(aligned.models[0], LAYER) == 1
    assert told(aligned, repr(prefix), "taken off")


@pytest.mark.parametrize("prefix", ["bert.", "model."])
def test_a_prefix_is_put_before(prefix: str) -> None:
    aligned = align([member(encoder(1))], base=member(encoder(0, prefix)))
    assert names(aligned) == {prefix + VOCABULARY, prefix + LAYER}
    assert read(aligned.models[0], prefix + LAYER) == 1
    assert told(aligned, repr(prefix), "put before")


def test_a_bare_base_gets_the_prefix_of_models_with_a_head() -> None:
    """What is written has names that a class with a head loads."""
    head = {"classifier__weight": number(5, 3, 2)}
    aligned = align([member(encoder(1, "bert.", **head))] * 2, base=member(encoder(0)))
    assert names(aligned) == {f"bert.{VOCABULARY}", f"bert.{LAYER}"}
    assert set(aligned.copied) == {"classifier.weight"}
    assert read(aligned.base, f"bert.{LAYER}") == 0
    assert told(aligned, "'bert.'", "put before")


def test_two_tensors_of_one_name_are_refused() -> None:
    double = encoder(1, "bert.") | {LAYER: number(2)}
    with pytest.raises(MergeError, match="both with and without"):
        align([member(double)], base=member(encoder(0)))


def test_tied_embeddings_stand_for_the_output_layer_of_others() -> None:
    tied = member(decoder(1), "tied", tie_word_embeddings=True)
    untied = member(decoder(2, head=3), "untied", tie_word_embeddings=False)
    for members in ([tied, untied], [untied, tied]):
        aligned = align(members)
        assert "lm_head.weight" in names(aligned)
        heads = {s.label: read(s, "lm_head.weight") for s in aligned.models}
        assert heads == {"tied": 1, "untied": 3}
        assert aligned.config == {"tie_word_embeddings": False}
        assert told(aligned, "tied", "embed_tokens", "lm_head.weight")


def test_models_that_are_all_tied_stay_so() -> None:
    aligned = align([member(decoder(1)), member(decoder(2))], base=member(decoder(0)))
    assert "lm_head.weight" not in names(aligned)
    assert not aligned.config
    assert not aligned.notices


def test_a_tied_output_layer_that_is_in_the_file_is_left_out() -> None:
    copied = member(decoder(1, head=1), tie_word_embeddings=True)
    aligned = align([copied, member(decoder(2), tie_word_embeddings=True)])
    assert "lm_head.weight" not in names(aligned)
    assert not aligned.config
    assert told(aligned, "lm_head.weight", "left out")


def test_a_model_that_denies_to_be_tied_lacks_its_output_layer() -> None:
    bare = member(decoder(1), "bare", tie_word_embeddings=False)
    with pytest.raises(MergeError, match=r"bare lacks 'lm_head.weight'"):
        align([member(decoder(2, head=2)), bare], base=member(decoder(0, head=0)))


def test_an_encoders_output_layer_needs_its_head() -> None:
    """A bare encoder has no masked-language-model head, whatever its config says of tying."""
    masked = encoder(0, "bert.") | {
        "cls.predictions.decoder.weight": number(3, 4, 2),
        "cls.predictions.transform.dense.weight": number(3),
    }
    aligned = align([member(encoder(1))], base=member(masked, tie_word_embeddings=False))
    assert names(aligned) == {f"bert.{VOCABULARY}", f"bert.{LAYER}"}
    assert told(aligned, "head that no model has")


def test_a_bias_with_two_names_is_found_under_either() -> None:
    one = encoder(0, cls__predictions__bias=number(1, 4))
    two = encoder(1, cls__predictions__decoder__bias=number(2, 4))
    aligned = align([member(two)], base=member(one))
    assert {"cls.predictions.bias", "cls.predictions.decoder.bias"} <= names(aligned)
    assert read(aligned.models[0], "cls.predictions.bias") == 2
    assert read(aligned.base, "cls.predictions.decoder.bias") == 1
    assert told(aligned, "stands for")


def test_a_missing_tensor_is_refused_and_named() -> None:
    lacking = member({VOCABULARY: number(1, 4, 2)}, "small")
    with pytest.raises(MergeError, match=re.escape(f"small lacks '{LAYER}'")) as caught:
        align([lacking], base=member(encoder(0)))
    assert caught.value.tensor == LAYER
    assert "missing: base" in caught.value.hint


def test_a_missing_tensor_can_be_the_bases() -> None:
    lacking = member({VOCABULARY: number(1, 4, 2)}, "small")
    aligned = align([lacking], base=member(encoder(0)), missing="base")
    assert read(aligned.models[0], LAYER) == 0
    assert read(aligned.models[0], VOCABULARY) == 1
    assert told(aligned, "small", "changes nothing")


def test_without_a_base_nothing_stands_for_a_missing_tensor() -> None:
    members = [member(encoder(0)), member({VOCABULARY: number(1, 4, 2)}, "small")]
    with pytest.raises(MergeError, match="small lacks"):
        align(members, missing="base")


def test_an_extra_tensor_is_refused() -> None:
    extra = member(encoder(1, encoder__layer__1__dense__weight=number(1)), "deep")
    with pytest.raises(MergeError, match=r"deep has 'encoder.layer.1.dense.weight'"):
        align([extra], base=member(encoder(0)))


def test_other_shapes_are_refused_with_both() -> None:
    wide = member({**encoder(1), LAYER: number(1, 3, 2)}, "wide")
    with pytest.raises(MergeError, match=r"\(2, 2\) in thin and \(3, 2\) in wide"):
        align([wide], base=member(encoder(0), "thin"))


def test_vocabularies_of_other_sizes_are_left_to_the_tokenizer() -> None:
    grown = {**decoder(1, head=1)}
    grown |= {name: number(1, 6, 2) for name in ("model.embed_tokens.weight", "lm_head.weight")}
    aligned = align([member(grown, "grown")], base=member(decoder(0, head=0), "base"))
    assert set(aligned.vocabulary) == {"model.embed_tokens.weight", "lm_head.weight"}
    with pytest.raises(MergeError, match=r"\(4, 2\) in base and \(6, 2\) in grown") as caught:
        aligned.require_one_vocabulary()
    assert "union" in caught.value.hint


def test_embeddings_of_another_width_are_no_matter_of_the_vocabulary() -> None:
    wide = {**encoder(1), VOCABULARY: number(1, 4, 3)}
    with pytest.raises(MergeError, match=VOCABULARY):
        align([member(wide)], base=member(encoder(0)))


def test_whole_numbers_have_to_agree() -> None:
    def counting(start: int) -> Member:
        return member(encoder(1, steps=torch.arange(start, start + 3)))

    assert "steps" in names(align([counting(0)], base=counting(0)))
    with pytest.raises(MergeError, match="'steps' holds whole numbers"):
        align([counting(1)], base=counting(0))


def test_whole_numbers_here_and_floats_there_are_refused() -> None:
    with pytest.raises(MergeError, match="in some models"):
        align([member(encoder(1, x=torch.ones(2)))], base=member(encoder(0, x=torch.arange(2))))


def test_buffers_of_old_files_are_left_out() -> None:
    old = encoder(0, embeddings__position_ids=torch.arange(4)[None])
    aligned = align([member(encoder(1))], base=member(old))
    assert names(aligned) == {VOCABULARY, LAYER}
    assert told(aligned, "position_ids")


def test_an_attentions_real_bias_is_no_buffer() -> None:
    real = encoder(1, h__0__attn__bias=torch.ones(4))
    with pytest.raises(MergeError, match=r"h.0.attn.bias"):
        align([member(real)], base=member(encoder(0)))
    mask = encoder(1, h__0__attn__bias=torch.ones(1, 1, 4, 4))
    assert names(align([member(mask)], base=member(encoder(0)))) == {VOCABULARY, LAYER}


def classifier(value: float, labels: int = 3, label: str = "model") -> Member:
    return member(encoder(value, "bert.", classifier__weight=number(value, labels, 2)), label)


def test_heads_that_differ_are_refused() -> None:
    with pytest.raises(MergeError, match=r"heads differ: 'classifier.weight'") as caught:
        align([classifier(1), classifier(2)], base=member(encoder(0)))
    assert "average" in caught.value.hint


def test_heads_that_are_the_same_are_taken_over() -> None:
    aligned = align([classifier(1), classifier(1)], base=member(encoder(0)))
    origin = aligned.copied["classifier.weight"]
    assert read(origin.source, origin.name) == 1


@pytest.mark.parametrize(("rule", "expected"), [("average", 1.5), (0, 1.0), (1, 2.0)])
def test_heads_by_rule(rule: Any, expected: float) -> None:
    aligned = align([classifier(1), classifier(2)], base=member(encoder(0)), heads=rule)
    origin = aligned.copied["classifier.weight"]
    assert read(origin.source, origin.name) == expected
    assert "classifier.weight" not in names(aligned)
    assert told(aligned, "head", "classifier.weight")


def test_heads_can_be_left_out() -> None:
    aligned = align([classifier(1), classifier(2, 5)], base=member(encoder(0)), heads="omit")
    assert not aligned.copied
    assert names(aligned) == {f"bert.{VOCABULARY}", f"bert.{LAYER}"}


def test_a_head_of_another_size_can_be_kept_and_not_averaged() -> None:
    models = [classifier(1), classifier(2, 5)]
    kept = align(models, base=member(encoder(0)), heads=1).copied["classifier.weight"]
    assert kept.source.tensors[kept.name].shape == (5, 2)
    with pytest.raises(MergeError, match=r"\(3, 2\) and \(5, 2\)"):
        align(models, base=member(encoder(0)), heads="average")


def test_a_head_that_one_model_has_is_refused_or_kept() -> None:
    models = [classifier(1), member(encoder(2, "bert."))]
    with pytest.raises(MergeError, match="heads differ"):
        align(models, base=member(encoder(0)))
    aligned = align(models, base=member(encoder(0)), heads=0)
    assert set(aligned.copied) == {"classifier.weight"}
    assert not align(models, base=member(encoder(0)), heads=1).copied


@pytest.mark.parametrize("model", [classifier(2, 5), member(encoder(2, "bert."))])
def test_the_bases_head_can_be_kept(model: Member) -> None:
    aligned = align([model], base=classifier(1), heads="base")
    origin = aligned.copied["classifier.weight"]
    assert origin.source.tensors[origin.name].shape == (3, 2)
    assert read(origin.source, origin.name) == 1
    assert "classifier.weight" not in names(aligned)
    assert told(aligned, "head", "classifier.weight")


def test_a_head_that_all_have_is_merged_though_the_bases_is_kept() -> None:
    aligned = align([classifier(2)], base=classifier(1), heads="base")
    assert "classifier.weight" in names(aligned)
    assert not aligned.copied


def test_there_is_no_head_of_a_model_that_is_not_there() -> None:
    with pytest.raises(MergeError, match="no model 2"):
        align([classifier(1), classifier(2)], heads=2)
    with pytest.raises(MergeError, match="no base"):
        align([classifier(1)], heads="base")


def test_a_head_that_the_base_has_too_is_merged_like_any_tensor() -> None:
    aligned = align([classifier(1), classifier(2)], base=classifier(0))
    assert "classifier.weight" in names(aligned)
    assert not aligned.copied


def test_without_a_base_tasks_heads_are_refused_and_language_models_are_not() -> None:
    with pytest.raises(MergeError, match="heads differ"):
        align([classifier(1), classifier(2)])
    assert "lm_head.weight" in names(align([member(decoder(1, 1)), member(decoder(2, 2))]))


def peft_adapter(folder: Path, base: Source, prefix: str) -> Member:
    """Write an adapter that adds one to every number of a layer, and open it."""
    folder.mkdir()
    module = f"base_model.model.{prefix}{LAYER.removesuffix('.weight')}"
    save_file(
        {f"{module}.lora_A.weight": torch.ones(1, 2), f"{module}.lora_B.weight": torch.ones(2, 1)},
        folder / "adapter_model.safetensors",
    )
    said = {"peft_type": "LORA", "r": 1, "lora_alpha": 1}
    (folder / "adapter_config.json").write_text(json.dumps(said))
    return Member(open_adapter(folder, base, {}, "adapter"))


def delta(aligned: Alignment, name: str) -> torch.Tensor:
    assert aligned.base is not None
    tensor = MergeTensor(
        name=name,
        shape=aligned.tensors[name].shape,
        params=None,
        model_params=[None],
        base_origin=Origin(aligned.base, name),
        origins=[Origin(aligned.models[0], name)],
        write=lambda start, values: None,
    )
    return next(tensor.chunks()).delta(0)


LARGE = 1e9
"""In float32 one more makes no difference to it."""


@pytest.mark.parametrize("adapters", ["", "bert."])
@pytest.mark.parametrize("bases", ["", "bert."])
@pytest.mark.parametrize("others", ["", "bert."])
def test_an_adapter_stays_one_under_other_names(
    tmp_path: Path, adapters: str, bases: str, others: str
) -> None:
    """Its delta is its update, unrounded, whoever was renamed; so it is for a tokenizer's step."""
    base = member(encoder(LARGE, bases), "base")
    adapter = peft_adapter(tmp_path / "adapter", base.source, adapters)
    aligned = align([adapter, member(encoder(1, others))], base=base)
    assert read(aligned.models[1], bases + LAYER) == 1
    assert torch.equal(delta(aligned, bases + LAYER), torch.ones(4))
    assert torch.equal(delta(aligned, bases + VOCABULARY), torch.zeros(8))
    under: Any = aligned.models[0]
    assert under.base is aligned.base
    assert under.update(bases + VOCABULARY, 0, 8) is None
    assert under.is_changed(bases + LAYER)
    assert not under.is_changed(bases + VOCABULARY)
    assert torch.equal(under.factors(bases + LAYER).dense(), torch.ones(2, 2))


def test_an_adapter_with_a_renamed_base_and_a_head_beside_it(tmp_path: Path) -> None:
    base = member(encoder(LARGE), "base")
    adapter = peft_adapter(tmp_path / "adapter", base.source, "")
    aligned = align([adapter, classifier(1)], base=base, heads="omit")
    assert torch.equal(delta(aligned, f"bert.{LAYER}"), torch.ones(4))


def test_an_adapter_on_another_base_is_a_model_like_others(tmp_path: Path) -> None:
    adapter = peft_adapter(tmp_path / "adapter", member(encoder(2)).source, "bert.")
    aligned = align([adapter], base=member(encoder(1)))
    assert not hasattr(aligned.models[0], "update")
    assert torch.equal(delta(aligned, LAYER), torch.full((4,), 2.0))


def test_an_adapter_that_lacks_what_the_base_has_changes_nothing_there(tmp_path: Path) -> None:
    whole = encoder(LARGE, more=number(LARGE))
    base = member(whole, "base")
    part = StateSource({name: whole[name] for name in (VOCABULARY, LAYER)}, "part")
    adapter = peft_adapter(tmp_path / "adapter", part, "")
    aligned = align([adapter], base=base, missing="base")
    assert torch.equal(delta(aligned, "more"), torch.zeros(4))
