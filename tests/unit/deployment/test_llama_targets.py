"""Language models for llama.cpp, ollama and vLLM, read by other code than wrote them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import transformers

from adapterhub_lite import api
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.inference.artifact import read_artifact_info
from adapterhub_lite.inference.loading import find_base, load_model
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.transformer import quiet_transformers
from adapterhub_lite_deploy.llama import turned, turned_back
from adapterhub_lite_deploy.ollama import ollama_template
from adapterhub_lite_deploy.vocabulary import read_tokenizer
from adapterhub_lite_registry import Registry
from tests.unit.deployment.decoders import CHATML, byte_tokenizer, write_decoder

Trained = Callable[[str], str]
TOKENS = torch.arange(3, 60)[None]


def version_logits(ref: str, registry: Registry) -> torch.Tensor:
    folder = registry.path(registry.resolve(ref))
    info = read_artifact_info(folder)
    base = find_base(folder, info, registry, get_catalogue())
    with torch.no_grad():
        found = load_model(folder, info, base, get_catalogue(), "cpu").model(TOKENS)
    logits: torch.Tensor = found.logits
    return logits


def gguf_logits(folder: Path) -> torch.Tensor:
    with quiet_transformers(), torch.no_grad():
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, gguf_file="model.gguf", dtype=torch.float32
        )
        logits: torch.Tensor = model.eval()(TOKENS).logits
    return logits


@pytest.mark.parametrize(("dtype", "most"), [("f32", 1e-4), ("f16", 0.1), ("q8_0", 1.0)])
def test_a_gguf_answers_as_the_version(
    trained: Trained, registry: Registry, tmp_path: Path, dtype: str, most: float
) -> None:
    params = {"dtype": dtype}
    done = api.deploy(
        trained("chat"), "gguf", out=tmp_path / "out", params=params, registry=registry
    )
    assert done.parity.holds
    off = (gguf_logits(tmp_path / "out") - version_logits("chat", registry)).abs().max()
    assert off <= most
    reader = gguf.GGUFReader(tmp_path / "out" / "model.gguf")
    kinds = {tensor.name: tensor.tensor_type.name.lower() for tensor in reader.tensors}
    assert kinds["blk.0.attn_q.weight"] == dtype
    assert kinds["output_norm.weight"] == "f32", "vectors are not rounded"


@pytest.mark.parametrize("template", [CHATML, None])
def test_a_gguf_has_the_versions_tokenizer(tmp_path: Path, template: str | None) -> None:
    from adapterhub_lite_deploy.vocabulary import write_vocabulary

    tokenizer = byte_tokenizer(template)
    tokenizer.save_pretrained(tmp_path)
    writer = gguf.GGUFWriter(tmp_path / "v.gguf", "llama")
    write_vocabulary(writer, tmp_path, tokenizer, len(tokenizer) + 3)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    again = read_tokenizer(gguf.GGUFReader(tmp_path / "v.gguf"))
    for text in ("the apple", "  été 12\n\n", "<|im_start|>user\nhi<|im_end|>", "", "日本"):
        assert again(text)["input_ids"] == tokenizer(text)["input_ids"], text
    assert again.chat_template == template
    assert again.eos_token == tokenizer.eos_token


@pytest.mark.parametrize("name", ["chat", "chat-rslora"])
def test_an_adapters_file_is_added_to_the_bases_as_llama_cpp_does(
    trained: Trained, registry: Registry, place: Path, tmp_path: Path, name: str
) -> None:
    done = api.deploy(trained(name), "gguf-lora", out=tmp_path / "lora", registry=registry)
    assert done.parity.difference <= 1e-3
    base, whole = place / "llama", tmp_path / "whole"
    api.deploy(trained("chat"), "gguf", out=whole, params={"dtype": "f32"}, registry=registry)
    shutil.rmtree(whole)
    whole.mkdir()
    add_to_base(base, tmp_path / "lora" / "adapter.gguf", whole)
    off = (gguf_logits(whole) - version_logits(name, registry)).abs().max()
    assert off <= 1e-4


def add_to_base(base: Path, adapter: Path, destination: Path) -> None:
    """Write the base as a gguf, and add alpha / rank · B·A to what is in the file."""
    from adapterhub_lite.inference.artifact import ArtifactInfo, write_artifact_info
    from adapterhub_lite.specs import Head
    from adapterhub_lite_deploy import GgufParams
    from adapterhub_lite_deploy.gguf_file import GgufExporter

    folder = destination / "base"
    shutil.copytree(base, folder)
    info = ArtifactInfo(
        task="text-generation", method="full", objective="sft", head=Head(kind="causal-lm")
    )
    write_artifact_info(folder, info)
    GgufExporter().export(folder, destination, None, GgufParams(dtype="f32"))
    added = gguf.GGUFReader(adapter)
    factors = {tensor.name: np.array(tensor.data) for tensor in added.tensors}
    alpha = added.get_field("adapter.lora.alpha").contents()
    written = gguf.GGUFReader(destination / "model.gguf", "r+")
    for tensor in written.tensors:
        if (down := factors.get(f"{tensor.name}.lora_a")) is not None:
            up = factors[f"{tensor.name}.lora_b"]
            tensor.data[:] += alpha / len(down) * (up @ down)
    written.data.flush()


def test_turning_pairs_neighbours_and_can_be_undone() -> None:
    config = transformers.LlamaConfig(num_attention_heads=2, num_key_value_heads=1)
    rows = np.arange(8)[:, None]
    # of a head's four rows the halves (0, 1) and (2, 3) are paired: 0 with 2, and 1 with 3
    assert turned("blk.0.attn_q.weight", rows, config)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    assert turned("blk.0.attn_k.weight", rows, config)[:, 0].tolist() == [0, 4, 1, 5, 2, 6, 3, 7]
    assert (turned("blk.0.attn_v.weight", rows, config) == rows).all()
    for name in ("attn_q", "attn_k", "attn_v"):
        assert (turned_back(name, turned(name, rows, config), config) == rows).all()


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"attention_bias": True}, "have biases"),
        ({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}, "scaled"),
    ],
)
def test_other_llamas_are_refused(tmp_path: Path, config: dict[str, Any], says: str) -> None:
    from adapterhub_lite_deploy.llama import require_llama

    folder = write_decoder(tmp_path / "base", **config)
    with pytest.raises(CapabilityError, match=says):
        require_llama(transformers.AutoConfig.from_pretrained(folder))


@pytest.mark.parametrize("change", ["normalizer", "model", "pre_tokenizer"])
def test_a_tokenizer_that_llama_cpp_does_not_have_is_refused(change: str) -> None:
    from adapterhub_lite_deploy.vocabulary import split_name

    told = json.loads(byte_tokenizer().backend_tokenizer.to_str())
    assert split_name(told) == "gpt-2"
    other = {
        "normalizer": {"type": "Lowercase"},
        "model": {"type": "WordLevel"},
        "pre_tokenizer": {"type": "Whitespace"},
    }
    with pytest.raises(CapabilityError, match="tokenizers"):
        split_name({**told, change: other[change]})


def test_ollama_gets_the_template_and_how_it_generates(
    trained: Trained, registry: Registry, tmp_path: Path
) -> None:
    params = {"dtype": "f32"}
    out = tmp_path / "out"
    assert api.deploy(trained("chat"), "ollama", out=out, params=params, registry=registry)
    lines = (out / "Modelfile").read_text()
    assert lines.startswith("FROM ./model.gguf\n")
    assert '{{ if eq .Role "user" }}<|im_start|>user\n{{ .Content }}<|im_end|>\n{{ end }}' in lines
    assert "PARAMETER num_predict 6\n" in lines
    assert 'PARAMETER stop "<|im_end|>"' in lines


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ loop.index }}{{ m['content'] }}{% endfor %}",
        "{{ messages[-1]['content'] }}",
        "{% for m in messages %}{{ m['content'] | trim | upper }}x{{ messages | length }}"
        "{% endfor %}",
        "{{ raise_exception('no') }}",
        "{% for m in messages %}{{ '{{' }}{{ m['content'] }}{% endfor %}",
    ],
)
def test_a_template_that_is_more_than_turns_is_refused(template: str) -> None:
    with pytest.raises(CapabilityError, match="no form in ollama"):
        ollama_template(byte_tokenizer(template))


@pytest.mark.parametrize("name", ["chat", "chat-rslora"])
def test_vllm_gets_a_lora_directory(
    trained: Trained, registry: Registry, tmp_path: Path, name: str
) -> None:
    done = api.deploy(trained(name), "vllm", out=tmp_path / "out", registry=registry)
    assert done.parity.difference <= 1e-3
    assert "--enable-lora --max-lora-rank 8 --lora-modules out=" in done.usage


def test_what_vllm_refuses_is_refused_before(
    trained: Trained, registry: Registry, tmp_path: Path
) -> None:
    for target in ("vllm", "gguf-lora"):
        with pytest.raises(CapabilityError, match="use_dora") as caught:
            api.deploy(trained("chat-dora"), target, out=tmp_path / "out", registry=registry)
        assert "merged" in caught.value.hint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"peft_type": "IA3"}, "no LoRA"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save: lm_head"),
        ({"bias": "all"}, "biases"),
        ({"lora_bias": True}, "biases"),
        ({"rank_pattern": {"q_proj": 4}}, "differs between modules"),
    ],
)
def test_more_than_two_factors_is_a_problem(change: dict[str, Any], says: str) -> None:
    from adapterhub_lite_deploy.lora import problems

    plain = {"peft_type": "LORA", "bias": "none", "modules_to_save": None, "use_dora": False}
    assert problems(plain) == []
    (found,) = problems({**plain, **change})
    assert says in found


@pytest.mark.parametrize(
    ("rank", "config", "says"),
    [
        (600, {}, "512 is the highest"),
        (8, {"target_modules": ".*q_proj"}, "wants a list"),
        (8, {"lora_alpha": 0}, "alpha is 0"),
    ],
)
def test_what_else_vllm_refuses(rank: int, config: dict[str, Any], says: str) -> None:
    from adapterhub_lite_deploy.vllm import _refuse

    plain = {"target_modules": ["q_proj"], "lora_alpha": 16}
    _refuse(8, plain)
    with pytest.raises(CapabilityError, match=says):
        _refuse(rank, {**plain, **config})
