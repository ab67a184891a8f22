"""A merged model's folder beside its weights: config, tokenizer, chat template."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from adapterhub_lite.errors import BaseModelError, CapabilityError, RecipeError
from adapterhub_lite.merging.folder.files import write_folder_files
from adapterhub_lite.recipes.merge import TokenizerSection
from tests.unit.merging.versions import (
    ONE,
    TWO,
    config_of,
    edit,
    llama,
    planned,
    rename_words,
)


def test_the_config_is_the_base_s_without_what_names_code_or_places(tmp_path: Path) -> None:
    base, model = llama(tmp_path / "base"), llama(tmp_path / "model", 1)
    code = {"auto_map": {"AutoModel": "theirs.Model"}, "_name_or_path": "/home/me/base"}
    edit(base / "config.json", quantization_config={"quant_method": "x"}, **code)
    edit(base / "config.json", text_config={"auto_map": {}, "hidden_size": 3}, marker="base")
    files = planned([model], base)
    config = config_of(files)
    assert config["marker"] == "base"
    assert config["text_config"] == {"hidden_size": 3}
    assert not config.keys() & {"auto_map", "_name_or_path", "quantization_config"}
    assert any("code of its own" in note for note in files.notes)
    assert files.info is None


def test_floats_are_named_as_transformers_names_them_now(tmp_path: Path) -> None:
    base = llama(tmp_path / "base")
    edit(base / "config.json", dtype=None, torch_dtype="float16", part={"torch_dtype": "float16"})
    kept, other = config_of(planned([base])), config_of(planned([base], dtype="bfloat16"))
    assert (kept["dtype"], kept["part"]["dtype"]) == ("float16", "float16")
    assert (other["dtype"], other["part"]["dtype"]) == ("bfloat16", "bfloat16")
    assert "torch_dtype" not in other
    assert "torch_dtype" not in other["part"]


def test_layers_of_slices(tmp_path: Path) -> None:
    base = llama(tmp_path / "base")
    edit(base / "config.json", layer_types=["full", "sliding", "linear"], other=[1, 2, 3])
    config = config_of(planned([base], layers=[0, 1, 1, 2, 0]))
    assert config["num_hidden_layers"] == 5
    assert config["layer_types"] == ["full", "sliding", "sliding", "linear", "full"]
    assert config["other"] == [1, 2, 3]


def test_a_config_that_does_not_count_layers_cannot_be_sliced(tmp_path: Path) -> None:
    base = llama(tmp_path / "base")
    edit(base / "config.json", num_hidden_layers=None)
    with pytest.raises(CapabilityError, match="how many layers"):
        planned([base], layers=[0])


@pytest.mark.parametrize("tied", [True, False])
def test_tied_embeddings_are_what_was_told(tmp_path: Path, tied: bool) -> None:
    base = llama(tmp_path / "base")
    assert config_of(planned([base], tied=tied))["tie_word_embeddings"] is tied


def test_a_model_s_tokenizer_brings_its_ids_into_config_and_generation(tmp_path: Path) -> None:
    base, model = llama(tmp_path / "base"), llama(tmp_path / "model", 1)
    rows = json.loads((base / "config.json").read_text(encoding="utf-8"))["vocab_size"]
    rename_words(model, list(reversed(range(rows))))
    told = {"eos_token_id": [3, 2], "pad_token_id": 0, "suppress_tokens": [5], "max_length": 9}
    (base / "generation_config.json").write_text(json.dumps(told), encoding="utf-8")
    asked = TokenizerSection(source="model", pad_to_multiple_of=64)
    files = planned([model], base, asked)
    config = config_of(files)
    generation = json.loads(files.made["generation_config.json"])
    last = rows - 1
    assert (config["bos_token_id"], config["eos_token_id"]) == (last - 2, last - 3)
    assert generation == {
        "eos_token_id": [last - 3, last - 2],
        "pad_token_id": last,
        "suppress_tokens": [last - 5],
        "max_length": 9,
    }
    assert config["vocab_size"] == 64
    write_folder_files(tmp_path / "out", files)
    loaded = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert loaded.eos_token_id == config["eos_token_id"]
    assert (
        loaded("sweet pear")["input_ids"]
        == AutoTokenizer.from_pretrained(model)("sweet pear")["input_ids"]
    )


def test_files_that_do_not_change_are_the_same_bytes(tmp_path: Path) -> None:
    base = llama(tmp_path / "base")
    (base / "generation_config.json").write_text('{"eos_token_id":   3}', encoding="utf-8")
    (base / "tokenizer.model").write_bytes(b"pieces")
    (base / "modeling_theirs.py").write_text("import os", encoding="utf-8")
    out = tmp_path / "out"
    write_folder_files(out, planned([base]))
    written = {file.name for file in out.iterdir()}
    assert written == {
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
    }
    for name in written - {"config.json"}:
        assert (out / name).read_bytes() == (base / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("generation_config.json", "{"),
        ("generation_config.json", "[]"),
        ("tokenizer_config.json", "[1]"),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"x": 1}}'),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, text: str) -> None:
    base = llama(tmp_path / "base")
    (base / name).write_text(text, encoding="utf-8")
    with pytest.raises(BaseModelError, match=f"{name} of 'base'"):
        planned([llama(tmp_path / "model", 1)], base)


def test_a_tokenizer_s_config_names_no_code(tmp_path: Path) -> None:
    base = llama(tmp_path / "base")
    edit(base / "tokenizer_config.json", auto_map={"AutoTokenizer": ["theirs.Slow", None]})
    files = planned([base])
    assert "auto_map" not in json.loads(files.made["tokenizer_config.json"])


def chat_models(tmp_path: Path, templates: Sequence[str | None]) -> list[Path]:
    folders = []
    for number, template in enumerate(templates):
        folder = llama(tmp_path / f"m{number}", number)
        if template is not None:
            (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
        folders.append(folder)
    return folders


def test_auto_takes_the_template_that_most_models_have(tmp_path: Path) -> None:
    base, *models = chat_models(tmp_path, [ONE, None, TWO, ONE, TWO])
    files = planned(models, base, chat_template="auto")
    assert files.made["chat_template.jinja"].decode() == TWO
    assert "the chat template is that of m2, as 2 of 4 models have it" in files.notes
    alone = planned(models[:1], base, chat_template="auto")
    assert alone.made["chat_template.jinja"].decode() == ONE
    nobody = planned(models[:1], chat_template="auto")
    assert "chat_template.jinja" not in nobody.made


def test_a_model_s_template_or_one_of_the_recipe(tmp_path: Path) -> None:
    base, model = chat_models(tmp_path, [ONE, TWO])
    edit(model / "tokenizer_config.json", chat_template=[{"name": "default", "template": TWO}])
    (model / "chat_template.jinja").unlink()
    assert planned([model], base).copied["chat_template.jinja"] == base / "chat_template.jinja"
    theirs = planned([model], base, chat_template="m1")
    assert theirs.made["chat_template.jinja"].decode() == TWO
    inline = "{{ bos_token }}" + ONE
    out = tmp_path / "out"
    write_folder_files(out, planned([base], model, chat_template=inline))
    assert AutoTokenizer.from_pretrained(out).chat_template == inline
    assert "chat_template" not in json.loads((out / "tokenizer_config.json").read_text())


@pytest.mark.parametrize("name", ["alpaca", "chatml", "exaone", "llama3", "mistral"])
def test_a_template_by_name_renders_what_was_said(tmp_path: Path, name: str) -> None:
    (base,) = chat_models(tmp_path, [None])
    files = planned([base], chat_template=name)
    out = tmp_path / "out"
    write_folder_files(out, files)
    said = [{"role": "user", "content": "sweet?"}, {"role": "assistant", "content": "ripe."}]
    rendered = AutoTokenizer.from_pretrained(out).apply_chat_template(said, tokenize=False)
    assert rendered.index("sweet?") < rendered.index("ripe.")
    spelled = name in ("chatml", "exaone", "llama3")
    assert spelled == any("spelled out in pieces" in note for note in files.notes)


@pytest.mark.parametrize(
    ("choice", "message"),
    [("m2", "'m2' is no model"), ("m0", "m0 has no chat template"), ("{% for %}", "no Jinja")],
)
def test_a_template_that_is_none(tmp_path: Path, choice: str, message: str) -> None:
    (base,) = chat_models(tmp_path, [None])
    with pytest.raises(RecipeError, match=message):
        planned([base], chat_template=choice)
