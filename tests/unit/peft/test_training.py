"""Every method attaches, learns what it should and nothing else, saves, reloads and bakes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.protocols import Attached
from adapterhub_lite.specs import HeadKind
from adapterhub_lite_peft.method import PeftMethod
from adapterhub_lite_peft.table import ENTRIES
from tests.unit.peft.conftest import SPECS, Bench, batch_for, head_of, outputs, params_of, train

ALL = sorted(entry.name for entry in ENTRIES.values() if not entry.refused)
METHOD = PeftMethod()
# FRoD multiplies by sparse matrices, of which torch says that it does not check them
pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant:UserWarning")
MORE: tuple[tuple[str, str, HeadKind], ...] = (
    ("lora", "bert", "token-classification"),
    ("lora", "roberta", "sequence-classification"),
    ("lora", "distilbert", "question-answering"),
    ("lora", "gpt2", "causal-lm"),
    ("lora", "modernbert", "sequence-classification"),
    ("lora", "t5", "seq2seq-lm"),
    ("adalora", "gpt2", "causal-lm"),
    ("ia3", "bert", "none"),
    ("prefix", "bert", "token-classification"),
    ("prefix", "roberta", "sequence-classification"),
    ("prefix", "gpt2", "sequence-classification"),
    ("prefix", "t5", "seq2seq-lm"),
    ("prompt", "distilbert", "sequence-classification"),
    ("prompt", "t5", "seq2seq-lm"),
    ("p-tuning", "gpt2", "causal-lm"),
    ("ln-tuning", "modernbert", "none"),
    ("trainable-tokens", "gpt2", "causal-lm"),
    ("trainable-tokens", "bert", "sequence-classification"),
)
CHANGED_IN_MEMORY = {"osf"}
"""OSF takes the weights apart into what may change and what may not."""


def cases() -> Iterator[tuple[str, str, HeadKind]]:
    """Every method on a head that is new where it can, else as a language model; and more."""
    for name in ALL:
        spec = SPECS[name]
        encoder = "encoder" in spec.families and "sequence-classification" in spec.heads
        yield (name, "bert", "sequence-classification") if encoder else (name, "llama", "causal-lm")
    yield from MORE


def base_parameters(attached: Attached) -> dict[str, torch.Tensor]:
    """Return the base's own parameters, under the names they had before they were wrapped."""
    found = {}
    for name, value in attached.model.named_parameters():
        if name not in attached.trainable:
            plain = name.removeprefix("base_model.").removeprefix("model.")
            for part in (".base_layer", ".original_module", ".token_adapter"):
                plain = plain.replace(part, "")
            found[plain] = value.detach()
    return found


def is_head(name: str, new: tuple[str, ...]) -> bool:
    return any(f".{module}.modules_to_save." in name for module in new)


@pytest.mark.parametrize(("name", "model_type", "kind"), list(cases()))
def test_a_method_learns_and_comes_back(
    bench: Bench, tmp_path: Path, name: str, model_type: str, kind: HeadKind
) -> None:
    architecture, params = bench.architecture(model_type), params_of(name)
    assert METHOD.check(architecture, head_of(kind), params) == []
    attached = bench.attach(name, model_type, kind)
    sizes = {n: v.numel() for n, v in attached.model.named_parameters() if v.requires_grad}
    assert attached.trainable == sizes.keys()
    assert METHOD.count_trainable(architecture, head_of(kind), params) == sum(sizes.values())

    batch = batch_for(kind, architecture.family == "encoder-decoder")
    first, last = train(attached.model, batch, hooks=attached)
    assert last < first
    fresh = bench.base(model_type, kind)
    if name not in CHANGED_IN_MEMORY:
        kept = base_parameters(attached)
        original = dict(fresh.model.named_parameters())
        assert all(torch.equal(kept[key], original[key]) for key in kept.keys() & original.keys())
        assert len(kept.keys() & original.keys()) > 10
    assert all(any(is_head(n, (module,)) for n in sizes) for module in fresh.new)

    expected = outputs(attached.model, batch)
    METHOD.save(attached, tmp_path)
    loaded: Any = METHOD.load(fresh, tmp_path).model
    assert not any(value.requires_grad for value in loaded.parameters())
    assert torch.allclose(outputs(loaded, batch), expected, atol=1e-5)

    if "bake" not in SPECS[name].capabilities:
        with pytest.raises(CapabilityError, match="cannot be merged"):
            METHOD.bake(bench.base(model_type, kind), tmp_path)
        return
    baked = METHOD.bake(bench.base(model_type, kind), tmp_path).model
    assert type(baked) is type(bench.base(model_type, kind).model)
    assert baked.state_dict().keys() == bench.base(model_type, kind).model.state_dict().keys()
    assert torch.allclose(outputs(baked, batch), expected, atol=1e-5)


def test_the_same_seed_gives_the_same_adapter(bench: Bench) -> None:
    for name in ("lora", "vera", "fourierft", "p-tuning"):
        first, second = (bench.attach(name, "bert").model.state_dict() for _ in range(2))
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_loading_does_not_touch_the_global_generator(bench: Bench, tmp_path: Path) -> None:
    METHOD.save(bench.attach("lora", "bert"), tmp_path)
    base = bench.base("bert")
    state = torch.get_rng_state()
    METHOD.load(base, tmp_path)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_prompt_starts_at_the_words_it_is_given(bench: Bench, tmp_path: Path) -> None:
    settings = {"prompt_tuning_init": "TEXT", "prompt_tuning_init_text": "ripe apple"}
    attached = bench.attach("prompt", "bert", **settings)
    model: Any = attached.model
    vectors = model.prompt_encoder["default"].embedding.weight
    tokens = attached.tokenizer("ripe apple")["input_ids"]
    assert torch.equal(vectors[: len(tokens)], model.word_embeddings.weight[tokens])
    METHOD.save(attached, tmp_path)
    assert "ripe" not in (tmp_path / "adapter_config.json").read_text()
    batch = batch_for("sequence-classification")
    loaded = METHOD.load(bench.base("bert"), tmp_path).model
    assert torch.equal(outputs(loaded, batch), outputs(model, batch))
