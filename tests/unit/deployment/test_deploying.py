"""A deployment answers as its version, says so, and is whole or not there."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from adapterhub_lite import api
from adapterhub_lite.errors import (
    CapabilityError,
    DataError,
    IntegrityError,
    NotFoundError,
    RecipeError,
    SelfTestError,
    UnknownNameError,
)
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.specs import ExporterSpec
from adapterhub_lite.transformer import quiet_transformers
from adapterhub_lite_registry import Registry

Trained = Callable[[str], str]
TEXTS = ["the apple is sweet", "a heavy drill", "my choir was very quiet and slow"]


@pytest.fixture
def deploy(trained: Trained, registry: Registry, tmp_path: Path) -> Callable[..., Any]:
    def to(name: str, target: str, **more: Any) -> Any:
        return api.deploy(trained(name), target, out=tmp_path / "out", registry=registry, **more)

    return to


def test_an_adapter_goes_merged_to_where_whole_models_go(
    deploy: Any, registry: Registry, tmp_path: Path
) -> None:
    done = deploy("classifier", "hf", inputs=TEXTS)
    version = registry.resolve("classifier")
    told = json.loads((tmp_path / "out" / "deployment.json").read_text())
    assert (told["version"], told["digest"]) == (str(version), version.digest)
    assert (told["target"], told["inputs"]) == ("hf", "given")
    assert told["parity"]["inputs"] == len(TEXTS)
    assert told["parity"]["difference"] == done.parity.difference <= 1e-4
    assert told["files"].keys() == {
        *("config.json", "model.safetensors", "README.md"),
        *("tokenizer.json", "tokenizer_config.json"),
    }
    with quiet_transformers():
        ask = transformers.pipeline("text-classification", model=str(tmp_path / "out"))
        found = [[(one["label"], one["score"]) for one in ask(text, top_k=None)] for text in TEXTS]
    ours = [one.record() for one in api.load("classifier", registry=registry).predict(TEXTS)]
    for theirs, record in zip(found, ours, strict=True):
        assert dict(theirs) == pytest.approx(record["probabilities"], abs=1e-5)
    with quiet_transformers():
        tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer.model_max_length == 80, "a text is cut where the version cuts it"


def test_peft_gets_the_adapter_as_it_is(deploy: Any, tmp_path: Path) -> None:
    assert deploy("classifier", "peft").parity.difference <= 1e-4
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize("name", ["few", "few-lora"])
def test_setfit_gets_body_and_head(deploy: Any, name: str) -> None:
    assert deploy(name, "setfit").parity.agreement == 1


def test_a_language_model_keeps_its_template_and_how_it_generates(
    deploy: Any, registry: Registry, tmp_path: Path
) -> None:
    deploy("chat", "hf")
    folder = tmp_path / "out"
    config = transformers.GenerationConfig.from_pretrained(folder)
    assert (config.max_new_tokens, config.do_sample) == (6, False)
    with quiet_transformers():
        model = transformers.AutoModelForCausalLM.from_pretrained(folder)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": TEXTS[0]}], add_generation_prompt=True, return_tensors="pt"
    )
    written = model.generate(**asked)[0, asked["input_ids"].shape[1] :]
    ours = api.load("chat", registry=registry).predict([TEXTS[0]])[0].record()
    assert ours["text"].strip() == tokenizer.decode(written, skip_special_tokens=True).strip()


@pytest.mark.parametrize(
    ("name", "target", "says"),
    [
        ("few", "hf", "no form in transformers"),
        ("few-lora", "peft", "no form in PEFT"),
        ("few", "peft", "is a whole model"),
        ("classifier", "setfit", "no form in SetFit"),
        ("prefix", "hf", "cannot be baked"),
        ("classifier", "vllm", "whose task is"),
    ],
)
def test_what_a_target_cannot_hold_is_refused(
    deploy: Any, tmp_path: Path, name: str, target: str, says: str
) -> None:
    with pytest.raises(CapabilityError, match=says):
        deploy(name, target)
    assert not (tmp_path / "out").exists()


def test_a_misspelt_target_or_parameter_gets_the_nearest(deploy: Any) -> None:
    with pytest.raises(UnknownNameError) as caught:
        deploy("classifier", "onx")
    assert caught.value.nearest == "onnx"
    with pytest.raises(RecipeError, match="quantize"):
        deploy("classifier", "onnx", params={"quantize": "int8"})
    with pytest.raises(DataError, match="no inputs"):
        deploy("classifier", "peft", inputs=[])


def test_what_answers_otherwise_is_not_written(
    deploy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adapterhub_lite_peft.exporting import PeftExporter

    whole = PeftExporter.export

    def spoilt(self: Any, folder: Path, destination: Path, base: Any, params: Any) -> None:
        whole(self, folder, destination, base, params)
        file = destination / "adapter_model.safetensors"
        tensors = {name: tensor * 1.5 for name, tensor in load_file(file).items()}
        save_file(tensors, file)

    monkeypatch.setattr(PeftExporter, "export", spoilt)
    with pytest.raises(SelfTestError, match="not what the version answers"):
        deploy("classifier", "peft")
    assert list(tmp_path.iterdir()) == []


def test_a_format_that_cannot_be_asked_is_no_target(
    deploy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = get_catalogue(first_party_only=True)
    spec = replace(catalogue.exporter("peft"), deploys=False)
    monkeypatch.setattr(catalogue, "exporter", lambda name: spec)
    assert isinstance(spec, ExporterSpec)
    with pytest.raises(CapabilityError, match="cannot be asked here") as caught:
        deploy("classifier", "peft", catalogue=catalogue)
    assert "ahl export" in caught.value.hint


def test_a_deployment_is_verified_later(deploy: Any, registry: Registry, tmp_path: Path) -> None:
    deployed = deploy("few", "setfit")
    folder = tmp_path / "out"
    again = api.verify_deployment(folder, registry=registry)
    assert again.parity == deployed.parity
    assert api.verify_deployment(folder, inputs=TEXTS, registry=registry).parity.inputs == 3

    (folder / "note.txt").write_text("mine")
    with pytest.raises(IntegrityError, match=r"note\.txt .* was not deployed"):
        api.verify_deployment(folder, registry=registry)
    (folder / "note.txt").unlink()
    head = folder / "head.safetensors"
    head.write_bytes(head.read_bytes()[:-1] + b"\x00")
    with pytest.raises(IntegrityError, match=r"head\.safetensors .* is not what was deployed"):
        api.verify_deployment(folder, registry=registry)
    head.unlink()
    with pytest.raises(IntegrityError, match=r"head\.safetensors .* is missing"):
        api.verify_deployment(folder, registry=registry)
    with pytest.raises(NotFoundError, match=r"deployment\.json"):
        api.verify_deployment(tmp_path, registry=registry)


def test_hashes_that_were_put_right_do_not_hide_other_weights(
    deploy: Any, registry: Registry, tmp_path: Path
) -> None:
    from adapterhub_lite.deployment.manifest import hash_files

    deploy("classifier", "peft")
    folder = tmp_path / "out"
    file = folder / "adapter_model.safetensors"
    save_file({name: tensor + 0.5 for name, tensor in load_file(file).items()}, file)
    told = json.loads((folder / "deployment.json").read_text())
    (folder / "deployment.json").write_text(json.dumps({**told, "files": hash_files(folder)}))
    with pytest.raises(SelfTestError):
        api.verify_deployment(folder, registry=registry)
    (folder / "deployment.json").write_text(
        json.dumps({**told, "files": hash_files(folder), "digest": "sha256:" + "0" * 64})
    )
    with pytest.raises(IntegrityError, match="is not the version that was deployed"):
        api.verify_deployment(folder, registry=registry)


def test_a_folder_is_a_version_too(trained: Trained, registry: Registry, tmp_path: Path) -> None:
    folder = registry.path(registry.resolve(trained("few")))
    done = api.deploy(str(folder), "setfit", out=tmp_path / "out", registry=registry)
    assert done.parity.agreement == 1
    assert json.loads((tmp_path / "out" / "deployment.json").read_text())["digest"] == ""
    assert api.verify_deployment(tmp_path / "out", registry=registry).parity.holds


def test_logits_are_those_of_the_probabilities() -> None:
    from adapterhub_lite.deployment.parity import _logits

    logits = np.array([[1.0, -2.0, 14.0]])
    shares = torch.from_numpy(logits).sigmoid().numpy()
    assert _logits(shares, True) == pytest.approx(logits, abs=1e-9)
