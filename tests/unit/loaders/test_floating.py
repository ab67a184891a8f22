"""The loaders fp32, bf16 and fp16."""

import copy
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from pydantic import ValidationError
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from adapterhub_lite.errors import CapabilityError, MissingDependencyError
from adapterhub_lite.specs import Head, HeadKind
from adapterhub_lite_loaders import FullParams, HalfParams, floating
from adapterhub_lite_loaders.floating import BFloat16Loader, Float16Loader, Float32Loader
from tests.unit.loaders.conftest import (
    FEW_PAIRS,
    PAIRS,
    TARGETS,
    Bases,
    answer,
    assert_same,
    batch_of,
    head_of,
    loss_of,
    relative_error,
    resolved,
    snapshot,
)

CLASSES = head_of("sequence-classification")


def test_fp32_holds_the_files_bits(bases: Bases) -> None:
    base = bases("llama")
    loaded = Float32Loader().load(base, Head(kind="causal-lm"), FullParams(), "cpu")
    reference = AutoModelForCausalLM.from_pretrained(base.path, dtype=torch.float32)
    assert_same(snapshot(loaded.model), snapshot(reference))
    assert not loaded.model.training
    assert not loaded.quantised


@pytest.mark.parametrize(("model_type", "kind"), PAIRS)
def test_bf16_trains_with_its_new_head_in_float32(
    bases: Bases, model_type: str, kind: HeadKind
) -> None:
    loaded = BFloat16Loader().load(bases(model_type), head_of(kind), HalfParams(), "cpu")
    starts = tuple(f"{name}." for name in loaded.new)
    for name, parameter in loaded.model.named_parameters():
        expected = torch.float32 if name.startswith(starts) else torch.bfloat16
        assert parameter.dtype == expected, name
    loss_of(loaded.model, batch_of(loaded)).backward()
    heads = [loaded.model.get_submodule(name) for name in loaded.new]
    grads = [parameter.grad for head in heads for parameter in head.parameters()]
    assert all(grad is not None and grad.dtype == torch.float32 for grad in grads)
    assert bool(grads) == bool(loaded.new)


@pytest.mark.parametrize(("model_type", "kind"), FEW_PAIRS)
def test_bf16_answers_as_its_weights_do_in_float32(
    bases: Bases, model_type: str, kind: HeadKind
) -> None:
    loader = BFloat16Loader()
    loaded = loader.load(bases(model_type), head_of(kind), HalfParams(), "cpu")
    exact = loader.dequantise(loaded)
    assert all(parameter.dtype == torch.float32 for parameter in exact.model.parameters())
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(value.float(), exact.model.state_dict()[name].float()), name
    batch = batch_of(loaded)
    # bfloat16 rounds to 2^-9; a handful of layers gathers some of that.
    assert relative_error(answer(loaded.model, batch), answer(exact.model, batch)) < 2**-5


@pytest.mark.parametrize("shard", ["10GB", "20KB"])
@pytest.mark.parametrize("model_type", ["bert", "t5"])
def test_a_trained_head_reloads_exactly_onto_bf16(
    bases: Bases, tmp_path: Path, model_type: str, shard: str
) -> None:
    loader = BFloat16Loader()
    trained = loader.load(bases(model_type), CLASSES, HalfParams(), "cpu")
    for name in trained.new:
        for parameter in trained.model.get_submodule(name).parameters():
            parameter.data += 1e-5  # far below what bfloat16 resolves
    trained.model.save_pretrained(tmp_path, max_shard_size=shard)
    trained.tokenizer.save_pretrained(tmp_path)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (shard == "20KB")
    reloaded = loader.load(resolved(tmp_path), CLASSES, HalfParams(), "cpu")
    assert_same(snapshot(trained.model), snapshot(reloaded.model))


def test_the_head_of_other_labels_is_not_taken_from_the_files(bases: Bases, tmp_path: Path) -> None:
    loader = BFloat16Loader()
    trained = loader.load(bases("bert"), CLASSES, HalfParams(), "cpu")
    trained.model.save_pretrained(tmp_path)
    trained.tokenizer.save_pretrained(tmp_path)
    others = Head(kind=CLASSES.kind, labels=("cat", "dog", "cow"), problem="single-label")
    reloaded = loader.load(resolved(tmp_path), others, HalfParams(), "cpu")
    stored = trained.model.classifier.weight
    assert not torch.equal(reloaded.model.classifier.weight, stored)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT's
def test_a_head_stays_in_float32_in_a_peft_model(bases: Bases, tmp_path: Path) -> None:
    loader = BFloat16Loader()
    base = loader.load(bases("bert"), CLASSES, HalfParams(), "cpu")
    config = LoraConfig(target_modules=TARGETS["bert"], modules_to_save=list(base.new))
    model = get_peft_model(copy.deepcopy(base.model), config)
    batch = batch_of(base)
    optimiser = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), 1e-3)
    loss_of(model, batch).backward()
    optimiser.step()
    model.save_pretrained(tmp_path)
    fresh = loader.load(bases("bert"), CLASSES, HalfParams(), "cpu")
    reloaded = PeftModel.from_pretrained(fresh.model, tmp_path)
    logits = answer(model.eval(), batch)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, answer(reloaded, batch))


def test_a_bf16_version_loads_with_plain_transformers(bases: Bases, tmp_path: Path) -> None:
    base = BFloat16Loader().load(bases("bert"), CLASSES, HalfParams(), "cpu")
    base.model.save_pretrained(tmp_path)
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path, dtype=torch.float32)
    batch = batch_of(base)
    assert relative_error(answer(base.model, batch), answer(plain.eval(), batch)) < 2**-5


def test_fp32_dequantises_to_itself(bases: Bases) -> None:
    loaded = Float32Loader().load(bases("bert"), Head(), FullParams(), "cpu")
    assert Float32Loader().dequantise(loaded) is loaded


def test_fp16_is_refused_on_a_cpu(bases: Bases) -> None:
    with pytest.raises(CapabilityError, match=r"fp16\) needs a GPU") as caught:
        Float16Loader().load(bases("bert"), Head(), HalfParams(), "cpu")
    assert "bf16" in caught.value.hint


def test_eager_attention_is_chosen(bases: Bases) -> None:
    loader = Float32Loader()
    eager = loader.load(bases("bert"), Head(), FullParams(attention="eager"), "cpu")
    sdpa = loader.load(bases("bert"), Head(), FullParams(), "cpu")
    attentions = [base.model.config._attn_implementation for base in (eager, sdpa)]
    assert attentions == ["eager", "sdpa"]
    batch = batch_of(eager)
    torch.testing.assert_close(answer(eager.model, batch), answer(sdpa.model, batch))


def test_flash_attention_is_refused_in_float32() -> None:
    with pytest.raises(ValidationError, match="use loader bf16, or sdpa"):
        FullParams(attention="flash")


def test_flash_attention_is_refused_without_a_gpu(bases: Bases) -> None:
    with pytest.raises(CapabilityError, match="flash attention needs a GPU") as caught:
        BFloat16Loader().load(bases("bert"), Head(), HalfParams(attention="flash"), "cpu")
    assert "sdpa" in caught.value.hint


def test_flash_attention_without_its_package_says_the_pip_line(
    bases: Bases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floating, "present_device", lambda device: device)
    monkeypatch.setattr(floating, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError) as caught:
        BFloat16Loader().load(bases("bert"), Head(), HalfParams(attention="flash"), "cuda")
    assert caught.value.install == "pip install flash-attn --no-build-isolation"
