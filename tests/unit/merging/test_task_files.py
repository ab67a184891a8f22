"""What a merged model keeps of its inputs' tasks: it loads and answers, or is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

import adapterhub_lite
from adapterhub_lite.errors import CapabilityError, IntegrityError, RecipeError
from adapterhub_lite.inference.artifact import read_artifact_info
from adapterhub_lite.merging.folder.files import write_folder_files
from adapterhub_lite.merging.opening import Opened
from adapterhub_lite.recipes.merge import TokenizerSection
from adapterhub_lite.testing import write_tiny_model
from tests.unit.merging.versions import (
    LABELS,
    ONE,
    TWO,
    classifier,
    config_of,
    edit,
    few_shot,
    llama,
    mean_state,
    opened,
    planned,
    rename_words,
    talker,
    with_modules,
)


def test_a_merged_version_of_ours_loads_and_answers(tmp_path: Path) -> None:
    base = write_tiny_model(tmp_path / "base", "bert")
    folders = [classifier(tmp_path / name, seed) for seed, name in enumerate("ab", 1)]
    files = planned(folders, base)
    out = tmp_path / "out"
    write_folder_files(out, files)
    state = mean_state(folders)
    save_file(state, out / "model.safetensors", metadata={"format": "pt"})
    assert "README.md" not in files.copied
    found = adapterhub_lite.load(str(out)).predict_proba(["a sweet pear", "the rusty saw"])
    config = AutoConfig.from_pretrained(folders[0])
    model = AutoModelForSequenceClassification.from_config(config).eval()
    model.load_state_dict(state)
    batch = AutoTokenizer.from_pretrained(base)(
        ["a sweet pear", "the rusty saw"], return_tensors="pt"
    )
    with torch.no_grad():
        expected = model(**batch).logits.softmax(-1).double().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert adapterhub_lite.load(str(out)).classes == LABELS


def test_an_adapter_s_task_gives_the_base_s_config_a_head(tmp_path: Path) -> None:
    base = opened(write_tiny_model(tmp_path / "base", "bert"))
    whole = classifier(tmp_path / "whole", 1)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    for name in ("adapterhub.json", "task.json"):
        (adapter / name).write_bytes((whole / name).read_bytes())
    (adapter / "adapter_config.json").write_text("{}", encoding="utf-8")
    model = Opened(
        ref="adapter",
        source=base.source,
        folder=base.folder,
        config=base.config,
        base=base,
        adapter=adapter,
        info=read_artifact_info(whole),
    )
    files = planned([model], base)
    assert config_of(files)["architectures"] == ["BertForSequenceClassification"]
    assert config_of(files)["id2label"] == {"0": "fruit", "1": "tool", "2": "music"}
    assert "adapter_config.json" not in files.copied
    assert files.copied["task.json"] == adapter / "task.json"
    assert files.info is not None
    assert (files.info.method, files.info.base) == ("full", None)
    out = tmp_path / "out"
    write_folder_files(out, files)
    save_file(load_file(whole / "model.safetensors"), out / "model.safetensors", {"format": "pt"})
    one, other = (adapterhub_lite.load(str(f)).predict_proba(["my pear"]) for f in (out, whole))
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_models_that_disagree_on_their_task_are_refused(tmp_path: Path) -> None:
    first = classifier(tmp_path / "a", 1)
    others = {
        "labels": classifier(tmp_path / "labels", 2, ("fruit", "tool", "art")),
        "task.json .* differ in max_length: 32 and 64": classifier(
            tmp_path / "m", 3, max_length=64
        ),
    }
    tagger = classifier(tmp_path / "tagger", 4)
    edit(tagger / "adapterhub.json", task="token-classification", objective="tagging")
    others["tasks"] = tagger
    for message, other in others.items():
        for heads in ("refuse", "average"):
            with pytest.raises(CapabilityError, match=message) as caught:
                planned([first, other], heads=heads)
            assert "heads: omit" in caught.value.hint


def test_one_model_s_head_can_be_kept_or_all_left_out(tmp_path: Path) -> None:
    base = write_tiny_model(tmp_path / "base", "bert")
    models = [
        classifier(tmp_path / "a", 1),
        classifier(tmp_path / "b", 2, ("yes", "no"), max_length=64),
    ]
    kept = planned(models, base, heads="keep b")
    assert kept.info is not None
    assert kept.info.head.labels == ("yes", "no")
    assert kept.copied["task.json"] == models[1] / "task.json"
    assert config_of(kept)["id2label"] == {"0": "yes", "1": "no"}
    bare = planned(models, base, heads="omit")
    assert bare.info is None
    assert "task.json" not in bare.copied
    assert config_of(bare)["architectures"] == ["BertModel"]
    alone = config_of(planned(models, heads="omit"))
    assert alone["architectures"] == ["BertModel"]
    assert "id2label" not in alone
    with pytest.raises(RecipeError, match="'c' is no model"):
        planned(models, base, heads="keep c")


def test_the_head_of_a_base_can_be_kept(tmp_path: Path) -> None:
    base, model = classifier(tmp_path / "a", 1), classifier(tmp_path / "b", 2, ("yes", "no"))
    kept = planned([model], base, heads="keep a")
    assert kept.info is not None
    assert kept.info.head.labels == LABELS
    assert config_of(kept)["id2label"]["0"] == LABELS[0]


def test_what_keeps_the_bases_head_answers_as_the_base_where_nothing_moves(tmp_path: Path) -> None:
    base, model = classifier(tmp_path / "a", 1), classifier(tmp_path / "b", 2, ("yes", "no"))
    strategy = {"name": "nearswap", "t": 1e-30}
    recipe = {"strategy": strategy, "base": str(base), "models": [str(model)]}
    out = tmp_path / "out"
    adapterhub_lite.merge({**recipe, "heads": f"keep {base}"}, out=out)
    asked = ["a drill", "a plum"]
    ours, theirs = (adapterhub_lite.load(str(one)).predict_proba(asked) for one in (out, base))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_a_model_that_lacks_its_head_is_not_asked(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "a", 1)
    state = load_file(folder / "model.safetensors")
    del state["classifier.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(IntegrityError, match=r"lacks classifier\.weight"):
        adapterhub_lite.load(str(folder))


def test_a_base_that_is_merged_too_has_to_agree(tmp_path: Path) -> None:
    base = opened(classifier(tmp_path / "a", 1))
    other = opened(classifier(tmp_path / "b", 2, ("yes", "no")))
    assert planned([other], base).info is not None
    with pytest.raises(CapabilityError, match="labels of a and b differ"):
        planned([base, other], base)


def test_plain_classifiers_with_other_labels_are_refused(tmp_path: Path) -> None:
    models = [classifier(tmp_path / "a", 1), classifier(tmp_path / "b", 2, ("x", "y", "z"))]
    for model in models:
        (model / "adapterhub.json").unlink()
    with pytest.raises(CapabilityError, match="labels of a and b differ"):
        planned(models)
    assert config_of(planned(models, heads="keep b"))["id2label"]["0"] == "x"


def test_a_model_without_a_task_among_others_is_told(tmp_path: Path) -> None:
    first, other = classifier(tmp_path / "a", 1), classifier(tmp_path / "b", 2)
    (other / "adapterhub.json").unlink()
    files = planned([other, first])
    assert files.info is not None
    assert "b tells no task: the output has that of a" in files.notes


def test_heads_beside_the_transformer_are_refused_or_averaged(tmp_path: Path) -> None:
    models = [few_shot(tmp_path / name, seed) for seed, name in enumerate("ab")]
    with pytest.raises(CapabilityError, match=r"head.safetensors of a and b differ"):
        planned(models)
    files = planned(models, heads="average")
    out = tmp_path / "out"
    write_folder_files(out, files)
    heads = [load_arrays(model / "head.safetensors") for model in models]
    for name, value in load_arrays(out / "head.safetensors").items():
        np.testing.assert_allclose(value, (heads[0][name] + heads[1][name]) / 2)
    state = mean_state(models)
    save_file(state, out / "model.safetensors", {"format": "pt"})
    assert adapterhub_lite.load(str(out)).predict_proba(["a pear"]).shape == (1, 2)


def test_a_broken_head_is_no_traceback(tmp_path: Path) -> None:
    models = [few_shot(tmp_path / name, seed) for seed, name in enumerate("ab")]
    (models[1] / "head.safetensors").write_bytes(b"broken")
    with pytest.raises(IntegrityError, match=r"head.safetensors cannot be read"):
        planned(models, heads="average")


def test_a_certain_and_an_impossible_label_have_no_mean(tmp_path: Path) -> None:
    models = [few_shot(tmp_path / name, seed) for seed, name in enumerate("ab")]
    for model, sign in zip(models, (1, -1), strict=True):
        head = load_arrays(model / "head.safetensors")
        save_arrays({**head, "intercept": np.array([sign * np.inf])}, model / "head.safetensors")
    with pytest.raises(CapabilityError, match="no mean"):
        planned(models, heads="average")


def test_modules_of_sentence_transformers_are_taken_where_all_agree(tmp_path: Path) -> None:
    base = with_modules(write_tiny_model(tmp_path / "base", "bert"))
    models = [write_tiny_model(tmp_path / name, "bert", seed) for seed, name in enumerate("ab")]
    out = tmp_path / "out"
    write_folder_files(out, planned(models, base))
    assert (out / "1_Pooling/config.json").read_bytes() == (
        base / "1_Pooling/config.json"
    ).read_bytes()
    with_modules(models[0], "cls")
    with_modules(models[1], "cls")
    assert planned(models, base).copied["modules.json"] == models[0] / "modules.json"
    edit(models[1] / "1_Pooling/config.json", pooling_mode="max")
    with pytest.raises(CapabilityError, match=r"1_Pooling/config.json of a and b differ"):
        planned(models, base)


def test_modules_of_somebody_s_code_are_left_out_and_told(tmp_path: Path) -> None:
    base = with_modules(write_tiny_model(tmp_path / "base", "bert"), kind="theirs.")
    files = planned([write_tiny_model(tmp_path / "a", "bert", 1)], base)
    assert "modules.json" not in files.copied
    assert any("theirs.Transformer" in note for note in files.notes)


def test_a_pickled_module_is_refused(tmp_path: Path) -> None:
    base = with_modules(write_tiny_model(tmp_path / "base", "bert"))
    (base / "1_Pooling/pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(CapabilityError, match="pickled"):
        planned([write_tiny_model(tmp_path / "a", "bert", 1)], base)


@pytest.mark.parametrize("choice", [None, TWO])
def test_a_merged_version_that_chats_has_one_template(tmp_path: Path, choice: str | None) -> None:
    base = llama(tmp_path / "base")
    models = [talker(tmp_path / name, seed) for seed, name in enumerate("ab", 1)]
    out = tmp_path / "out"
    write_folder_files(out, planned(models, base, chat_template=choice))
    save_file(mean_state(models), out / "model.safetensors", {"format": "pt"})
    assert json.loads((out / "chat.json").read_text())["template"] == (choice or ONE)
    (answer,) = adapterhub_lite.load(str(out)).predict(["is the pear sweet"])
    assert answer.prompt == "is the pear sweet"  # type: ignore[union-attr]


def test_versions_taught_with_other_templates_are_refused(tmp_path: Path) -> None:
    models = [talker(tmp_path / "a", 1), talker(tmp_path / "b", 2, TWO)]
    with pytest.raises(CapabilityError, match=r"chat.json of a and b differ in template"):
        planned(models)


def test_settings_that_name_ids_need_the_tokenizer_they_were_made_for(tmp_path: Path) -> None:
    base, model = llama(tmp_path / "base"), talker(tmp_path / "a", 1)
    rows = json.loads((base / "config.json").read_text(encoding="utf-8"))["vocab_size"]
    rename_words(base, list(reversed(range(rows))))
    with pytest.raises(CapabilityError, match="name tokens by their ids"):
        planned([model], base, TokenizerSection(source="base"))
    assert planned([model], base, TokenizerSection(source="a")).info is not None
