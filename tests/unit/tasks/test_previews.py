"""Previews show what is trained on: the same tokens, the same mask, before a weight is loaded."""

import json
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite.errors import DataError
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.testing import write_tiny_model
from adapterhub_lite.training.plan import Plan, make_plan
from adapterhub_lite.training.preview import RowsPreview, preview_rows
from adapterhub_lite_registry import Registry

FRUIT = ("plum", "apple", "pear")


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    return {kind: write_tiny_model(folder / kind, kind) for kind in ("bert", "llama", "t5")}


@pytest.fixture
def planned(
    bases: dict[str, Path], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Plan a training of rows, on a machine that cannot load weights."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a weight is loaded")

    monkeypatch.setattr("transformers.PreTrainedModel.from_pretrained", refuse)
    monkeypatch.setattr("safetensors.torch.load_file", refuse)

    def plan(base: str, objective: str, rows: list[dict[str, Any]], **params: Any) -> Plan:
        file = tmp_path / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        values = {
            "base": str(bases[base]),
            "method": "full",
            "objective": {"name": objective, **params},
            "data": {"train": str(file)},
        }
        return make_plan(values, get_catalogue(), Registry.open(home))

    return plan


def shown(plan: Plan) -> RowsPreview:
    preview = preview_rows(plan, get_catalogue())
    assert preview is not None
    return preview


def learnt_of(preview: RowsPreview) -> list[str]:
    """Return the first sample's tokens that are learnt."""
    sample = preview.samples[0]
    pairs = zip(sample.tokens, sample.sample.learnt, strict=True)
    return [token for token, is_learnt in pairs if is_learnt]


def test_of_a_dialogue_the_answer_is_learnt_and_its_end(planned: Any) -> None:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"a ripe {fruit}"},
                {"role": "assistant", "content": f"the {fruit} is sweet"},
            ]
        }
        for fruit in FRUIT
    ]
    preview = shown(planned("llama", "sft", rows, template="plain"))
    assert learnt_of(preview) == ["the", "plum", "is", "sweet", "[SEP]"]
    asked, answer = preview.samples[0].pieces
    assert (asked.learnt, answer.learnt) == (False, True)
    assert "ripe plum" in asked.text
    assert preview.notes == ()


@pytest.mark.parametrize(
    ("policy", "words"), [("truncate", "are cut there"), ("drop", "are left out")]
)
def test_long_dialogues_are_counted_before_training(planned: Any, policy: str, words: str) -> None:
    rows = [
        {"prompt": f"a ripe {fruit}", "completion": "sweet " * (1 if fruit == "plum" else 40)}
        for fruit in FRUIT
    ]
    params = {"max_length": 16, "min_prompt": 2}
    (note,) = shown(planned("llama", "sft", rows, too_long=policy, **params)).notes
    assert note.startswith("2 of 3 ")
    assert words in note
    with pytest.raises(DataError, match="2 of 3 dialogues are longer than 16 tokens"):
        shown(planned("llama", "sft", rows, **params))


def test_of_words_the_first_token_carries_the_tag(planned: Any) -> None:
    rows = [{"words": ["a", "ripe", fruit], "tags": ["O", "O", "B-FRUIT"]} for fruit in FRUIT]
    sample = shown(planned("bert", "tagging", rows)).samples[0]
    assert sample.tokens == ("[CLS]", "a", "ripe", "plum", "[SEP]")
    assert sample.sample.labels == ("", "O", "O", "B-FRUIT", "")
    assert sample.sample.learnt == (False, True, True, True, False)
    assert [piece.label for piece in sample.pieces] == ["", "O", "O", "B-FRUIT", ""]


def test_of_a_question_the_answers_span(planned: Any) -> None:
    rows = [
        {
            "question": "a ripe plum",
            "context": f"the sweet {fruit} is quiet",
            "answers": {"text": [fruit], "answer_start": [10]},
        }
        for fruit in FRUIT
    ]
    preview = shown(planned("bert", "question-answering", rows))
    assert learnt_of(preview) == ["plum"]
    assert preview.samples[0].sample.target == "plum"


def test_of_a_source_the_target_is_learnt(planned: Any) -> None:
    rows = [{"source": f"the sweet {fruit}", "target": fruit} for fruit in FRUIT]
    preview = shown(planned("t5", "seq2seq", rows))
    assert "plum" in learnt_of(preview)
    assert not {"the", "sweet"} & set(learnt_of(preview))


def test_of_a_text_every_token_but_the_first_is_learnt(planned: Any) -> None:
    rows = [{"text": f"the sweet {fruit} is quiet " * 4} for fruit in FRUIT]
    preview = shown(planned("llama", "causal-lm", rows, block_size=8))
    assert all(shown.sample.learnt == (False, *[True] * (len(shown.tokens) - 1))
               for shown in preview.samples)  # fmt: skip
    assert preview.longest == 8


@pytest.mark.parametrize("limit", [8, 64])
def test_a_text_shows_its_label_and_what_is_cut_of_it(planned: Any, limit: int) -> None:
    rows = [{"text": "ripe " * 20 + fruit, "label": fruit[0]} for fruit in FRUIT[:2]]
    rows += [{"text": f"a {fruit}", "label": fruit[0]} for fruit in FRUIT]
    preview = shown(planned("bert", "classification", rows, max_length=limit))
    first = preview.samples[0].sample
    assert (first.target, first.learnt) == ("p", ())
    whole = 20 + 1 + 2
    assert (len(first.ids), first.cut) == (min(limit, whole), max(whole - limit, 0))
    assert preview.longest == min(limit, whole)
    told = ("2 of 5 texts are longer than 8 tokens and are cut there",)
    assert preview.notes == (told if limit == 8 else ())


def test_similar_texts_are_shown_apart(planned: Any) -> None:
    rows = [{"anchor": f"a ripe {fruit}", "positive": f"the sweet {fruit}"} for fruit in FRUIT]
    preview = shown(planned("bert", "embedding", rows))
    assert [s.sample.part for s in preview.samples] == ["anchor", "positive"] * 3


def test_an_objective_without_a_preview_shows_none(planned: Any) -> None:
    rows = [{"text": f"a {fruit} {i}", "label": fruit[0]} for fruit in FRUIT for i in range(3)]
    assert preview_rows(planned("bert", "contrastive", rows), get_catalogue()) is None
