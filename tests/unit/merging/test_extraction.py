"""A fine-tuned model as its base and an adapter: what is extracted, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from adapterhub_lite.errors import CapabilityError, MergeError
from adapterhub_lite.merging.adapters.output import AdapterContent, write_lora
from adapterhub_lite.merging.extraction.extract import Extraction, extract_lora, kind_by_name
from adapterhub_lite.merging.extraction.module_kinds import kinds_of_model
from adapterhub_lite.merging.extraction.output import Rest, adapter_content, beside_factors
from adapterhub_lite.streaming.factors import RankChoice
from adapterhub_lite.streaming.sources import FolderSource, Source, StateSource
from adapterhub_lite.transformer import quiet_transformers
from tests.unit.merging.lora_folders import adapted, model_of, outputs, tiny_base
from tests.unit.merging.test_lowrank import product

QUERY = "encoder.layer.{}.attention.self.query"
Change = Callable[[Any], None]


def low_rank(shape: torch.Size, rank: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(shape[0], rank, generator=generator)
    return 0.1 * first @ torch.randn(rank, shape[1], generator=generator)


def finetuned(folder: Path, change: Change, kind: str = "bert", labels: int = 0) -> Path:
    """Save a model after ``change``, as a training would."""
    model = model_of(tiny_base(kind), labels)
    with torch.no_grad():
        change(model)
    with quiet_transformers():
        model.save_pretrained(folder)
    return folder


def of_rank(rank: int, where: str = "attention.self") -> Change:
    def change(model: Any) -> None:
        for number, (name, module) in enumerate(model.named_modules()):
            if where in name and getattr(module, "weight", None) is not None:
                module.weight += low_rank(module.weight.shape, rank, number)

    return change


def content_of(
    found: Extraction, model: Source, base: Source, rest: Rest = "refuse", tied: bool = False
) -> AdapterContent:
    return adapter_content(found, model, base, beside_factors(found, model, rest, tied=tied))


def extract(
    folder: Path, choice: RankChoice, kind: str = "bert"
) -> tuple[Extraction, FolderSource, FolderSource]:
    model = FolderSource(folder, "model")
    base = FolderSource(tiny_base(kind), "base")
    found = extract_lora(model, base, choice, kind_of=kinds_of_model(tiny_base(kind)))
    return found, model, base


@pytest.mark.parametrize("choice", [RankChoice(rank=4), RankChoice(energy=0.99999), RankChoice()])
def test_a_change_of_low_rank_is_found_whole(tmp_path: Path, choice: RankChoice) -> None:
    folder = finetuned(tmp_path / "model", of_rank(3))
    found, model, base = extract(folder, RankChoice(rank=4) if choice.rank else choice)
    assert len(found.modules) == 9
    assert not found.rest
    assert not found.new
    assert found.unchanged == len(model.tensors) - 9
    for name, part in found.modules.items():
        assert part.error < 2e-3
        if choice.energy:
            assert part.factors.rank == 3
        change = model.raw(f"{name}.weight").double() - base.raw(f"{name}.weight").double()
        assert float((product(part.factors) - change).norm() / change.norm()) < 2e-3
    write_lora(tmp_path / "out", content_of(found, model, base))
    answers = outputs(adapted(tmp_path / "out", tiny_base()))
    assert torch.allclose(answers, outputs(model_of(folder)), atol=2e-3)


def test_the_error_is_that_of_the_best_approximation(tmp_path: Path) -> None:
    found, model, base = extract(finetuned(tmp_path / "model", of_rank(12)), RankChoice(rank=5))
    for name, part in found.modules.items():
        change = model.raw(f"{name}.weight").double() - base.raw(f"{name}.weight").double()
        values = torch.linalg.svdvals(change)
        best = float(values[5:].norm() / values.norm())
        assert part.factors.rank == 5
        assert part.error == pytest.approx(best, rel=1e-3)
        assert part.energy == pytest.approx(1 - best**2, rel=1e-3)


@pytest.mark.parametrize("energy", [0.6, 0.95])
def test_each_module_gets_the_least_rank_that_keeps_the_energy(
    tmp_path: Path, energy: float
) -> None:
    found, model, base = extract(
        finetuned(tmp_path / "model", of_rank(12)), RankChoice(energy=energy)
    )
    for name, part in found.modules.items():
        change = model.raw(f"{name}.weight").double() - base.raw(f"{name}.weight").double()
        squares = torch.linalg.svdvals(change).square()
        assert part.factors.rank == int((squares.cumsum(0) < energy * squares.sum()).sum()) + 1
        assert part.energy >= energy - 1e-6


def test_transposed_weights_are_turned(tmp_path: Path) -> None:
    folder = finetuned(tmp_path / "model", of_rank(3, "c_attn"), "gpt2")
    found, model, base = extract(folder, RankChoice(rank=4), "gpt2")
    assert found.transposed == found.modules.keys() == {f"h.{n}.attn.c_attn" for n in range(3)}
    assert all(part.factors.shape == (96, 32) for part in found.modules.values())
    write_lora(tmp_path / "out", content_of(found, model, base))
    answers = outputs(adapted(tmp_path / "out", tiny_base("gpt2")))
    assert torch.allclose(answers, outputs(model_of(folder)), atol=2e-3)


def test_a_model_with_a_head_brings_it_along(tmp_path: Path) -> None:
    folder = finetuned(tmp_path / "model", of_rank(3), labels=3)
    found, model, base = extract(folder, RankChoice(rank=4))
    assert found.new == ("classifier.bias", "classifier.weight")
    assert f"bert.{QUERY.format(0)}" in found.modules
    content = content_of(found, model, base)
    assert content.saved_modules == ("classifier",)
    write_lora(tmp_path / "out", content)
    answers = outputs(adapted(tmp_path / "out", tiny_base(), labels=3))
    from transformers import AutoModelForSequenceClassification

    with quiet_transformers():
        own = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    assert torch.allclose(answers, outputs(own), atol=2e-3)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    def change(model: Any) -> None:
        for number, (name, module) in enumerate(model.named_modules()):
            if isinstance(module, torch.nn.Linear):
                module.weight += low_rank(module.weight.shape, 3, number)
                module.bias += 0.05 * torch.ones_like(module.bias)
            elif isinstance(module, torch.nn.LayerNorm):
                module.weight *= 1.1
            elif isinstance(module, torch.nn.Embedding) and "word" in name:
                module.weight *= 1.05

    return finetuned(tmp_path / "model", change)


def test_what_is_no_linear_layer_is_refused_by_default(whole: Path) -> None:
    found, model, base = extract(whole, RankChoice(rank=4))
    assert "embeddings.word_embeddings.weight" in found.rest
    assert f"{QUERY.format(0)}.bias" in found.rest
    with pytest.raises(CapabilityError, match=f"{len(found.rest)} tensors differ") as caught:
        content_of(found, model, base)
    assert "--save-rest" in caught.value.hint


def test_saved_whole_nothing_of_it_is_lost(whole: Path, tmp_path: Path) -> None:
    found, model, base = extract(whole, RankChoice(rank=4))
    content = content_of(found, model, base, rest="save")
    assert content.biases.keys() == found.modules.keys()
    assert "embeddings.word_embeddings" in content.saved_modules
    write_lora(tmp_path / "out", content)
    answers = outputs(adapted(tmp_path / "out", tiny_base()))
    assert torch.allclose(answers, outputs(model_of(whole)), atol=3e-3)


def test_left_out_it_stays_the_bases_own(whole: Path, tmp_path: Path) -> None:
    found, model, base = extract(whole, RankChoice(rank=4))
    write_lora(tmp_path / "out", content_of(found, model, base, rest="omit"))
    wrapped = adapted(tmp_path / "out", tiny_base())
    inner = wrapped.base_model.model
    assert inner.embeddings.word_embeddings.weight.equal(
        model_of(tiny_base()).embeddings.word_embeddings.weight
    )


def test_tied_embeddings_cannot_be_saved(whole: Path) -> None:
    found, model, base = extract(whole, RankChoice(rank=4))
    with pytest.raises(CapabilityError, match="output layer as well"):
        content_of(found, model, base, rest="save", tied=True)


def test_a_parameter_of_no_module_cannot_be_saved() -> None:
    base = {"token": torch.zeros(3), "a.weight": torch.zeros(6, 5)}
    model = {"token": torch.ones(3), "a.weight": torch.ones(6, 5)}
    sources = StateSource(model, "model"), StateSource(base, "base")
    found = extract_lora(*sources, RankChoice(rank=1))
    with pytest.raises(CapabilityError, match="no module's own"):
        content_of(found, *sources, rest="save")


def test_other_shapes_are_refused() -> None:
    model = StateSource({"a.weight": torch.ones(6, 5)}, "the model")
    base = StateSource({"a.weight": torch.ones(7, 5)}, "the base")
    with pytest.raises(MergeError, match=r"\(6, 5\) in the model.*\(7, 5\) in the base"):
        extract_lora(model, base, RankChoice(rank=1))


def test_models_of_nothing_in_common_are_refused() -> None:
    model = StateSource({"a.weight": torch.ones(6, 5)}, "the model")
    base = StateSource({"b.x.weight": torch.ones(6, 5)}, "the base")
    with pytest.raises(MergeError, match="no tensor in common"):
        extract_lora(model, base, RankChoice(rank=1))


def test_numbers_that_are_not_finite_are_named() -> None:
    state = {"a.weight": torch.ones(6, 5)}
    broken = {"a.weight": torch.full((6, 5), float("inf"))}
    with pytest.raises(MergeError, match=r"a\.weight.* of the model"):
        extract_lora(
            StateSource(broken, "the model"), StateSource(state, "the base"), RankChoice(rank=1)
        )


def test_whole_numbers_that_differ_are_reported() -> None:
    base = {"a.weight": torch.ones(6, 5), "b.ids": torch.arange(4)}
    model = {"a.weight": torch.zeros(6, 5), "b.ids": torch.arange(4) + 1}
    found = extract_lora(StateSource(model, "model"), StateSource(base, "base"), RankChoice(rank=1))
    assert found.rest == {"b.ids": "b.ids"}
    assert found.modules.keys() == {"a"}


def test_an_unchanged_model_has_nothing_to_extract(tmp_path: Path) -> None:
    found, model, base = extract(finetuned(tmp_path / "model", lambda _: None), RankChoice(rank=1))
    assert not found.modules
    with pytest.raises(MergeError, match="no module"):
        write_lora(tmp_path / "out", content_of(found, model, base))


@pytest.mark.parametrize(
    ("name", "shape", "kind"),
    [
        ("model.layers.0.self_attn.q_proj.weight", (4, 5), "linear"),
        ("lm_head.weight", (4, 5), "linear"),
        ("model.embed_tokens.weight", (4, 5), "other"),
        ("model.layers.0.self_attn.q_proj.bias", (5,), "other"),
        ("model.layers.0.experts.down", (2, 4, 5), "other"),
        ("model.norm.weight", (5,), "other"),
    ],
)
def test_kinds_told_by_names(name: str, shape: tuple[int, ...], kind: str) -> None:
    assert kind_by_name(name, shape) == kind


def test_kinds_told_by_modules() -> None:
    kind_of = kinds_of_model(tiny_base("t5"))
    bias = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    assert kind_of(bias, (32, 4)) == "other"
    assert kind_of("encoder.block.0.layer.0.SelfAttention.q.weight", (32, 32)) == "linear"
    with_prefix = kinds_of_model(tiny_base("gpt2"))("transformer.h.0.mlp.c_fc.weight", (32, 128))
    assert with_prefix == "transposed"
