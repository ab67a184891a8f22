"""A head is loaded as the task needs it: its layers named, never a tensor made up in silence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapterhub_lite.errors import BaseModelError, CapabilityError
from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite.specs import Head, HeadKind
from adapterhub_lite.testing import write_tiny_model
from adapterhub_lite.transformer import empty_model, load_transformer, quiet_transformers
from adapterhub_lite_full import FullParams
from adapterhub_lite_full.method import Full

TINY_T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 3, "num_heads": 4}
LABELS = ("fruit", "music", "tool")
HEADS = {
    "none": Head(),
    "sequence-classification": Head(
        kind="sequence-classification", labels=LABELS, problem="single-label"
    ),
    "token-classification": Head(kind="token-classification", labels=LABELS),
    "question-answering": Head(kind="question-answering"),
    "causal-lm": Head(kind="causal-lm"),
    "seq2seq-lm": Head(kind="seq2seq-lm"),
}
NEW: dict[str, dict[HeadKind, set[str]]] = {
    "bert": {
        "none": set(),
        "sequence-classification": {"classifier", "bert.pooler"},
        "token-classification": {"classifier"},
        "question-answering": {"qa_outputs"},
    },
    "roberta": {
        "none": set(),
        "sequence-classification": {"classifier"},
        "token-classification": {"classifier"},
        "question-answering": {"qa_outputs"},
    },
    "distilbert": {
        "none": set(),
        "sequence-classification": {"pre_classifier", "classifier"},
        "token-classification": {"classifier"},
        "question-answering": {"qa_outputs"},
    },
    "gpt2": {
        "none": set(),
        "sequence-classification": {"score"},
        "token-classification": {"classifier"},
        "question-answering": {"qa_outputs"},
        "causal-lm": set(),
    },
    "llama": {
        "none": set(),
        "sequence-classification": {"score"},
        "token-classification": {"score"},
        "question-answering": {"qa_outputs"},
        "causal-lm": set(),
    },
    "t5": {
        "none": set(),
        "sequence-classification": {"classification_head"},
        "token-classification": {"classifier"},
        "question-answering": {"qa_outputs"},
        "seq2seq-lm": set(),
    },
}
"""Architecture → head → the modules that have to learn, by transformers' own class definitions."""
WORKING = [(model_type, kind) for model_type, kinds in NEW.items() for kind in kinds]

Tiny = Callable[[str], Path]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Return the folder of a tiny model of a type, written once."""
    place = tmp_path_factory.mktemp("bases")

    def write(model_type: str) -> Path:
        folder = place / model_type
        if folder.exists():
            return folder
        return write_tiny_model(folder, model_type, **(TINY_T5 if model_type == "t5" else {}))

    return write


def load(folder: Path, head: Head, seed: int = 0) -> LoadedBase:
    torch.manual_seed(seed)
    return load_transformer(folder, head, torch.float32, "cpu")


def is_new(name: str, base: LoadedBase) -> bool:
    return name.startswith(tuple(f"{module}." for module in base.new))


@pytest.mark.parametrize(("model_type", "kind"), WORKING)
def test_the_new_modules_are_named_and_the_rest_is_the_files(
    tiny: Tiny, capfd: pytest.CaptureFixture[str], model_type: str, kind: HeadKind
) -> None:
    folder = tiny(model_type)
    base = load(folder, HEADS[kind])
    assert set(base.new) == NEW[model_type][kind]
    assert base.head == HEADS[kind]
    assert not base.model.training
    assert capfd.readouterr() == ("", "")
    saved = list(load_file(folder / "model.safetensors").values())
    for name, weight in base.model.named_parameters():
        if not is_new(name, base):
            assert any(weight.shape == t.shape and weight.equal(t) for t in saved), name
    if base.head.labels == LABELS:
        assert tuple(base.model.config.id2label.values()) == LABELS
        assert base.model.config.label2id == {label: n for n, label in enumerate(LABELS)}


@pytest.mark.parametrize(("model_type", "kind"), WORKING)
def test_the_empty_model_is_the_loaded_one_without_its_weights(
    tiny: Tiny, model_type: str, kind: HeadKind
) -> None:
    loaded, empty = (make(tiny(model_type), HEADS[kind]) for make in (load, empty_model))
    shapes, expected = (
        {name: tuple(weight.shape) for name, weight in base.model.named_parameters()}
        for base in (empty, loaded)
    )
    assert shapes == expected
    assert empty.new == loaded.new
    assert empty.tokenizer is None
    assert {weight.device.type for weight in empty.model.parameters()} == {"meta"}


def test_a_body_that_its_head_calls_otherwise_is_the_files(tiny: Tiny, tmp_path: Path) -> None:
    head = HEADS["question-answering"]
    base = load(tiny("llama"), head)
    state = base.model.state_dict()
    for name, tensor in load_file(tiny("llama") / "model.safetensors").items():
        inside = name.replace("model.", "transformer.", 1)
        assert name == "lm_head.weight" or state[inside].equal(tensor), name
    Full().save(Full().attach(base, FullParams(layers=1)), tmp_path / "out")
    again = load(tmp_path / "out", head, seed=7).model.state_dict()
    assert all(again[name].equal(state[name]) for name in state)


@pytest.mark.parametrize("model_type", NEW)
def test_a_head_that_the_architecture_does_not_have(tiny: Tiny, model_type: str) -> None:
    kind: HeadKind = "causal-lm" if model_type == "t5" else "seq2seq-lm"
    for make in (load, empty_model):
        with pytest.raises(CapabilityError, match=f"'{model_type}'.* for {kind}"):
            make(tiny(model_type), HEADS[kind])


@pytest.mark.parametrize(
    ("model_type", "kind"),
    [
        ("bert", "causal-lm"),  # saved without the head, which is no new layer
        ("roberta", "causal-lm"),
    ],
)
def test_what_transformers_would_leave_random_is_refused(
    tiny: Tiny, model_type: str, kind: HeadKind
) -> None:
    with pytest.raises(BaseModelError, match=r"lacks \d+ of its tensors"):
        load(tiny(model_type), HEADS[kind])


def test_a_tensor_missing_below_a_new_head_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(tiny("bert"), tmp_path / "copy"))
    tensors = load_file(folder / "model.safetensors")
    del tensors["encoder.layer.1.output.dense.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BaseModelError, match="lacks 1 of its tensors") as caught:
        load(folder, HEADS["sequence-classification"])
    assert "encoder.layer.1.output.dense.weight" in caught.value.message


def test_a_tensor_of_another_shape_below_a_new_head_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(tiny("bert"), tmp_path / "copy"))
    tensors = load_file(folder / "model.safetensors")
    tensors["encoder.layer.1.output.dense.weight"] = torch.zeros(32, 5)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BaseModelError, match="in another shape") as caught:
        load(folder, HEADS["sequence-classification"])
    assert "encoder.layer.1.output.dense.weight" in caught.value.message


@pytest.mark.parametrize(
    ("problem", "labels", "stored"),
    [
        ("single-label", LABELS, "single_label_classification"),
        ("multi-label", LABELS, "multi_label_classification"),
        ("regression", (), "regression"),
    ],
)
def test_the_config_says_what_the_labels_are(
    tiny: Tiny, problem: Any, labels: tuple[str, ...], stored: str
) -> None:
    head = Head(kind="sequence-classification", labels=labels, problem=problem)
    model: Any = load(tiny("bert"), head).model
    assert model.config.problem_type == stored
    assert model.classifier.out_features == (len(labels) or 1)


def test_new_layers_are_drawn_from_torchs_generator(tiny: Tiny) -> None:
    head = HEADS["sequence-classification"]
    one, again, other = (load(tiny("gpt2"), head, seed).model.state_dict() for seed in (1, 1, 2))
    assert all(one[name].equal(again[name]) for name in one)
    assert {name for name in one if not one[name].equal(other[name])} == {"score.weight"}


@pytest.fixture
def classifier(tiny: Tiny, tmp_path: Path) -> Path:
    """Save a BERT with a classifier of the three labels, as a published model comes."""
    base = load(tiny("bert"), HEADS["sequence-classification"], seed=5)
    with torch.no_grad():
        base.model.classifier.bias.fill_(3.0)
        base.model.bert.pooler.dense.bias.fill_(2.0)
    with quiet_transformers():
        base.model.save_pretrained(tmp_path / "classifier")
        base.tokenizer.save_pretrained(tmp_path / "classifier")
    return tmp_path / "classifier"


def test_a_head_for_the_same_labels_is_kept(classifier: Path) -> None:
    saved = load_file(classifier / "model.safetensors")
    state = load(classifier, HEADS["sequence-classification"]).model.state_dict()
    assert all(state[name].equal(tensor) for name, tensor in saved.items())


@pytest.mark.parametrize("labels", [("a", "b", "c"), LABELS[::-1], ("fruit", "tool")])
def test_a_head_for_other_labels_is_drawn_anew(
    classifier: Path, capfd: pytest.CaptureFixture[str], labels: tuple[str, ...]
) -> None:
    saved = load_file(classifier / "model.safetensors")
    head = Head(kind="sequence-classification", labels=labels, problem="single-label")
    one, again, other = (load(classifier, head, seed).model for seed in (1, 1, 2))
    assert capfd.readouterr() == ("", "")
    state: dict[str, torch.Tensor] = one.state_dict()
    assert state["classifier.weight"].shape == (len(labels), 32)
    assert state["classifier.bias"].eq(0).all(), "as transformers draws it, not as it was learnt"
    assert 0.01 < float(state["classifier.weight"].std()) < 0.04
    rows = saved["classifier.weight"][: len(labels)]
    assert not torch.isclose(state["classifier.weight"], rows).any(dim=1).all()
    assert state["classifier.weight"].equal(again.state_dict()["classifier.weight"])
    assert not state["classifier.weight"].equal(other.state_dict()["classifier.weight"])
    kept = {name for name in saved if not name.startswith("classifier.")}
    assert all(state[name].equal(saved[name]) for name in kept)


def test_a_model_that_is_stored_quantised_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    import json
    import shutil

    folder = Path(shutil.copytree(tiny("bert"), tmp_path / "copy"))
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BaseModelError, match="stored quantised, by 'gptq'") as caught:
        load(folder, HEADS["none"])
    assert "nf4" in caught.value.hint


@pytest.mark.parametrize("model_type", ["deberta-v2", "mpnet"])
def test_an_architecture_without_sdpa_is_loaded_with_what_it_has(
    tmp_path: Path, model_type: str
) -> None:
    folder = write_tiny_model(tmp_path / model_type, model_type)
    head = HEADS["sequence-classification"]
    model = load_transformer(folder, head, torch.float32, "cpu", attention="sdpa").model
    assert model.config._attn_implementation == "eager"


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_attention_is_the_one_asked_for(tiny: Tiny, attention: str) -> None:
    base = load_transformer(tiny("bert"), HEADS["none"], torch.float32, "cpu", attention=attention)
    assert base.model.config._attn_implementation == attention
