"""An adapter on its base gives the tensors that PEFT's own merging gives, slice by slice."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import IA3Config, LoraConfig, PeftModel, PrefixTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file

from adapterhub_lite.errors import BaseModelError, CapabilityError, UserError
from adapterhub_lite.streaming.adapters.source import AdapterSource, open_adapter
from adapterhub_lite.streaming.sources import FolderSource
from adapterhub_lite.streaming.tensors import Chunk, MergeTensor, Origin
from adapterhub_lite.testing import write_tiny_model
from adapterhub_lite.transformer import quiet_transformers
from adapterhub_lite.tuners.wrapping import quiet_peft

LABELS: Mapping[str, Any] = {"num_labels": 3}
CLASSES = {
    "SEQ_CLS": transformers.AutoModelForSequenceClassification,
    "CAUSAL_LM": transformers.AutoModelForCausalLM,
    "SEQ_2_SEQ_LM": transformers.AutoModelForSeq2SeqLM,
    "FEATURE_EXTRACTION": transformers.AutoModel,
}
TINY: Mapping[str, dict[str, Any]] = {"t5": {"decoder_start_token_id": 0, "num_decoder_layers": 2}}
QUERY = "encoder.layer.0.attention.self.query"


@dataclass(frozen=True)
class Case:
    """An adapter with random weights, opened, and the tensors that PEFT merges it into."""

    base: Path
    folder: Path
    source: AdapterSource
    merged: Mapping[str, torch.Tensor]


class Bench:
    """Tiny bases, each written once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def base(self, model_type: str) -> Path:
        path = self._folder / model_type
        if not path.exists():
            sizes = {"num_hidden_layers": 2, **TINY.get(model_type, {})}
            write_tiny_model(path, model_type, **sizes)
        return path

    def adapter(self, model_type: str, config: Any) -> tuple[Path, Any]:
        """Write an adapter with random weights; return its folder and a fresh model's maker."""
        base, chosen = self.base(model_type), CLASSES[config.task_type]
        options = LABELS if config.task_type == "SEQ_CLS" else {}

        def load() -> Any:
            torch.manual_seed(0)
            with quiet_transformers():
                return chosen.from_pretrained(base, **options)

        self._count += 1
        folder = self._folder / f"adapter-{self._count}"
        with quiet_peft():
            model = get_peft_model(load(), config)
            generator = torch.Generator().manual_seed(1)
            for name, value in model.named_parameters():
                if value.requires_grad:
                    near = 1.0 if "ia3" in name or "magnitude" in name else 0.0
                    value.data = near + 0.1 * torch.randn(value.shape, generator=generator)
            model.save_pretrained(folder)
        return folder, load

    def case(self, model_type: str, config: Any) -> Case:
        folder, load = self.adapter(model_type, config)
        with quiet_peft():
            merged = PeftModel.from_pretrained(load(), folder).merge_and_unload().state_dict()
        return Case(self.base(model_type), folder, open_on(folder, self.base(model_type)), merged)


def open_on(folder: Path, base: Path) -> AdapterSource:
    config = json.loads((base / "config.json").read_text())
    return open_adapter(folder, FolderSource(base, "base"), config, "adapter")


def whole(source: AdapterSource, name: str) -> torch.Tensor:
    shape = source.tensors[name]
    return source.read(name, 0, shape.size).view(shape.shape)


def lora(task: str = "SEQ_CLS", **settings: Any) -> LoraConfig:
    return LoraConfig(
        **{"r": 4, "task_type": task, "target_modules": ["query", "dense"], **settings}
    )


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bases"))


@pytest.fixture(scope="module")
def plain(bench: Bench) -> Case:
    """LoRA on a BERT with a head."""
    return bench.case("bert", lora())


GPT2 = {"target_modules": ["c_attn", "c_proj", "c_fc"], "fan_in_fan_out": True}
PATTERNS = {
    "rank_pattern": {"layer.1.attention.self.query": 2, r"^bert\.encoder\.layer\.0.*dense": 3},
    "alpha_pattern": {"query": 3, "bert.pooler.dense": 20},
}
CASES: Mapping[str, tuple[str, Callable[[], Any]]] = {
    "alpha": ("bert", lambda: lora(lora_alpha=7)),
    "rslora": ("bert", lambda: lora(use_rslora=True, lora_alpha=5)),
    "patterns": ("bert", lambda: lora(use_rslora=True, **PATTERNS)),
    "dora": ("bert", lambda: lora(use_dora=True)),
    "embeddings": ("bert", lambda: lora(target_modules=["word_embeddings", "key"])),
    "dora of embeddings": ("bert", lambda: lora(target_modules=["word_embeddings"], use_dora=True)),
    "bias of B": ("bert", lambda: lora(lora_bias=True)),
    "all biases": ("bert", lambda: lora(bias="all")),
    "LoRA's biases": ("bert", lambda: lora(bias="lora_only")),
    "whole modules": ("bert", lambda: lora(modules_to_save=["word_embeddings"])),
    "no head": ("bert", lambda: lora("FEATURE_EXTRACTION")),
    "gpt2": ("gpt2", lambda: lora("CAUSAL_LM", **GPT2)),
    "dora on gpt2": ("gpt2", lambda: lora("CAUSAL_LM", **GPT2, use_dora=True)),
    "gpt2 with a head": ("gpt2", lambda: lora(**GPT2)),
    "all of a llama": ("llama", lambda: lora("CAUSAL_LM", target_modules="all-linear")),
    "a llama with a head": ("llama", lambda: lora(target_modules=["q_proj"])),
    "t5": ("t5", lambda: lora("SEQ_2_SEQ_LM", target_modules=["q", "wo"])),
    "ia3": ("bert", lambda: IA3Config(task_type="SEQ_CLS")),
    "ia3 on gpt2": ("gpt2", lambda: IA3Config(task_type="CAUSAL_LM", fan_in_fan_out=True)),
    "ia3 on a llama": ("llama", lambda: IA3Config(task_type="CAUSAL_LM")),
}
TIED = {"lm_head.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"}


@pytest.mark.parametrize("name", CASES)
def test_the_model_is_the_one_that_peft_merges(bench: Bench, name: str) -> None:
    model_type, config = CASES[name]
    case = bench.case(model_type, config())
    assert case.merged.keys() - TIED <= case.source.tensors.keys() <= case.merged.keys()
    changed = 0
    for tensor, shape in case.source.tensors.items():
        expected = case.merged[tensor]
        assert shape.shape == tuple(expected.shape)
        torch.testing.assert_close(whole(case.source, tensor), expected, rtol=1e-6, atol=1e-6)
        changed += case.source.is_changed(tensor)
    assert changed


def test_the_update_is_s_times_b_times_a(plain: Case) -> None:
    stored = load_file(plain.folder / "adapter_model.safetensors")
    down = stored[f"base_model.model.bert.{QUERY}.lora_A.weight"].double()
    up = stored[f"base_model.model.bert.{QUERY}.lora_B.weight"].double()
    name = f"bert.{QUERY}.weight"
    added = plain.source.update(name, 0, 32 * 32)
    assert added is not None
    expected = (up @ down) * 8 / 4
    torch.testing.assert_close(added.view(32, 32).double(), expected, rtol=1e-5, atol=1e-7)
    factors = plain.source.factors(name)
    assert factors is not None
    torch.testing.assert_close(factors.dense().double(), expected, rtol=1e-5, atol=1e-7)


def test_what_is_not_changed_is_the_bases_own(plain: Case) -> None:
    name = "bert.embeddings.word_embeddings.weight"
    assert plain.source.update(name, 0, 8) is None
    assert not plain.source.is_changed(name)
    stored = load_file(plain.base / "model.safetensors")
    assert torch.equal(plain.source.raw(name), stored["embeddings.word_embeddings.weight"])


def test_raw_has_the_stored_dtype(bench: Bench, plain: Case, tmp_path: Path) -> None:
    shutil.copytree(plain.base, tmp_path / "half")
    stored = load_file(plain.base / "model.safetensors")
    save_file({k: v.bfloat16() for k, v in stored.items()}, tmp_path / "half/model.safetensors")
    source = open_on(plain.folder, tmp_path / "half")
    name = f"bert.{QUERY}.weight"
    assert source.tensors[name].dtype == "BF16"
    assert torch.equal(source.raw(name), whole(source, name).bfloat16())


SLICED = {
    "lora": ("bert", lambda: lora()),
    "dora": ("bert", lambda: lora(use_dora=True)),
    "dora by columns": ("gpt2", lambda: lora("CAUSAL_LM", **GPT2, use_dora=True)),
    "ia3": ("bert", lambda: IA3Config(task_type="SEQ_CLS")),
}
LARGE = {"lora": f"bert.{QUERY}.weight", "dora": f"bert.{QUERY}.weight"}
LARGE |= {"dora by columns": "transformer.h.0.attn.c_attn.weight"}
LARGE |= {"ia3": "bert.encoder.layer.0.output.dense.weight"}


@pytest.fixture(scope="module")
def sliced(bench: Bench) -> dict[str, AdapterSource]:
    return {name: bench.case(kind, make()).source for name, (kind, make) in SLICED.items()}


@pytest.mark.parametrize("kind", SLICED)
@settings(max_examples=40)
@given(bounds=st.tuples(st.integers(0, 1024), st.integers(0, 1024)))
def test_any_slice_is_that_of_the_whole_to_the_bit(
    sliced: dict[str, AdapterSource], kind: str, bounds: tuple[int, int]
) -> None:
    source, name = sliced[kind], LARGE[kind]
    start, stop = sorted(bounds)
    size = source.tensors[name].size
    for read in (source.read, source.update):
        everything = read(name, 0, size)
        part = read(name, start, stop)
        assert everything is not None
        assert part is not None
        assert torch.equal(part, everything[start:stop])


def test_slices_of_a_matrix_of_many_blocks_agree_to_the_bit(tmp_path: Path) -> None:
    """The rows that are computed together do not depend on where a slice ends."""
    generator = torch.Generator().manual_seed(0)
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    base.mkdir()
    adapter.mkdir()
    save_file(
        {"layer.weight": torch.randn(1500, 333, generator=generator)}, base / "model.safetensors"
    )
    (base / "config.json").write_text("{}")
    save_file(
        {
            "base_model.model.layer.lora_A.weight": torch.randn(16, 333, generator=generator),
            "base_model.model.layer.lora_B.weight": torch.randn(1500, 16, generator=generator),
        },
        adapter / "adapter_model.safetensors",
    )
    (adapter / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 16}')
    source = open_on(adapter, base)
    size = 1500 * 333
    everything = source.read("layer.weight", 0, size)
    for step in (64 * 31, 2**16 + 1, 100_000):
        parts = [
            source.read("layer.weight", at, min(at + step, size)) for at in range(0, size, step)
        ]
        assert torch.equal(torch.cat(parts), everything)


def chunk_of(base: Origin, origin: Origin) -> Chunk:
    tensor = MergeTensor(
        name="x",
        shape=origin.source.tensors[origin.name].shape,
        params=None,
        model_params=[None],
        base_origin=base,
        origins=[origin],
        write=lambda start, values: None,
    )
    return next(tensor.chunks())


def test_a_chunks_delta_is_the_update_without_the_bases_rounding(plain: Case) -> None:
    """Also where the base was opened twice: what counts is where its numbers lie."""
    name = f"bert.{QUERY}.weight"
    again = Origin(FolderSource(plain.base, "again"), f"{QUERY}.weight")
    delta = chunk_of(again, Origin(plain.source, name)).delta(0)
    expected = plain.source.update(name, 0, 1024)
    assert expected is not None
    assert torch.equal(delta, expected)
    assert not torch.equal(delta, plain.source.read(name, 0, 1024) - again.read(0, 1024))


def test_the_delta_from_another_base_is_a_difference(plain: Case, tmp_path: Path) -> None:
    other = write_tiny_model(tmp_path / "other", "bert", seed=7, num_hidden_layers=2)
    name = f"bert.{QUERY}.weight"
    base = Origin(FolderSource(other, "other"), f"{QUERY}.weight")
    delta = chunk_of(base, Origin(plain.source, name)).delta(0)
    assert torch.equal(delta, plain.source.read(name, 0, 1024) - base.read(0, 1024))


def test_an_output_layer_that_was_tied_is_the_embeddings_and_its_change(bench: Bench) -> None:
    folder, _ = bench.adapter("gpt2", lora("CAUSAL_LM", target_modules=["lm_head"]))
    source = open_on(folder, bench.base("gpt2"))
    stored = load_file(folder / "adapter_model.safetensors")
    part = "base_model.model.lm_head.lora_{}.weight"
    change = stored[part.format("B")] @ stored[part.format("A")] * 2
    embeddings = load_file(bench.base("gpt2") / "model.safetensors")["transformer.wte.weight"]
    assert source.untied
    assert torch.equal(whole(source, "transformer.wte.weight"), embeddings)
    torch.testing.assert_close(whole(source, "lm_head.weight"), embeddings + change)


def test_embeddings_that_change_part_from_the_output_layer(bench: Bench) -> None:
    folder, _ = bench.adapter("gpt2", lora("CAUSAL_LM", target_modules=["wte"]))
    source = open_on(folder, bench.base("gpt2"))
    embeddings = load_file(bench.base("gpt2") / "model.safetensors")["transformer.wte.weight"]
    assert source.untied
    assert not torch.equal(whole(source, "transformer.wte.weight"), embeddings)
    assert torch.equal(whole(source, "lm_head.weight"), embeddings)


def test_embeddings_that_grew_are_the_adapters_own(bench: Bench, tmp_path: Path) -> None:
    folder = edited(bench.case("llama", lora("CAUSAL_LM", target_modules=["q_proj"])), tmp_path)
    stored = load_file(folder / "adapter_model.safetensors")
    grown = torch.randn(60, 32)
    stored["base_model.model.model.embed_tokens.weight"] = grown
    save_file(stored, folder / "adapter_model.safetensors")
    source = open_on(folder, bench.base("llama"))
    assert torch.equal(whole(source, "model.embed_tokens.weight"), grown)
    assert not source.rests_on(
        "model.embed_tokens.weight", source.base, "model.embed_tokens.weight"
    )


def test_tied_embeddings_that_grew_stay_tied(bench: Bench, tmp_path: Path) -> None:
    """PEFT writes them twice, under both names."""
    made, _ = bench.adapter("gpt2", lora("CAUSAL_LM", target_modules=["c_attn"]))
    folder = tmp_path / "grown"
    shutil.copytree(made, folder)
    grown = torch.randn(60, 32)
    edit_tensor(folder, "base_model.model.transformer.wte.weight", grown)
    edit_tensor(folder, "base_model.model.lm_head.weight", grown.clone())
    source = open_on(folder, bench.base("gpt2"))
    assert not source.untied
    assert "lm_head.weight" not in source.tensors
    assert torch.equal(whole(source, "transformer.wte.weight"), grown)


def test_a_classifiers_embeddings_have_no_output_layer_to_part_from(bench: Bench) -> None:
    settings = {"target_modules": ["wte"], "modules_to_save": ["score"]}
    source = bench.case("gpt2", lora(**settings)).source
    assert not source.untied
    assert "lm_head.weight" not in source.tensors
    assert source.is_changed("transformer.wte.weight")


def test_embeddings_that_encoder_and_decoder_share_are_refused(bench: Bench) -> None:
    folder, _ = bench.adapter("t5", lora("SEQ_2_SEQ_LM", target_modules=["shared"]))
    with pytest.raises(CapabilityError, match="share"):
        open_on(folder, bench.base("t5"))


def test_the_bases_head_gives_way_to_the_adapters(bench: Bench) -> None:
    source = bench.case("llama", lora(target_modules=["q_proj"])).source
    assert "score.weight" in source.tensors
    assert "lm_head.weight" not in source.tensors
    assert any("left out" in notice for notice in source.notices)


def edited(case: Case, folder: Path, **config: Any) -> Path:
    """Copy an adapter with another config."""
    copy = folder / "edited"
    shutil.copytree(case.folder, copy)
    file = copy / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **config}))
    return copy


def edit_tensor(folder: Path, name: str, value: torch.Tensor | None) -> None:
    file = folder / "adapter_model.safetensors"
    state = load_file(file)
    state.pop(name, None)
    save_file(state if value is None else state | {name: value}, file)


CONFIGS: Mapping[str, tuple[dict[str, Any], type[UserError], str]] = {
    "unknown kind": ({"peft_type": "SPELL"}, BaseModelError, "no known kind"),
    "no kind": ({"peft_type": None}, BaseModelError, "no known kind"),
    "prefix": ({"peft_type": "PREFIX_TUNING"}, CapabilityError, "no change of weights"),
    "prompt": ({"peft_type": "PROMPT_TUNING"}, CapabilityError, "no change of weights"),
    "bottleneck": ({"peft_type": "BOTTLENECK"}, CapabilityError, "no change of weights"),
    "loha": ({"peft_type": "LOHA"}, CapabilityError, "not read directly"),
    "unknown key": ({"use_magic": True}, BaseModelError, "unknown key 'use_magic'"),
    "arrow": ({"arrow_config": {"top_k": 1}}, CapabilityError, "for each token"),
    "alora": ({"alora_invocation_tokens": [1]}, CapabilityError, "invocation"),
    "parameters": ({"target_parameters": ["x"]}, CapabilityError, "target_parameters"),
    "pissa": ({"init_lora_weights": "pissa"}, CapabilityError, "pissa"),
    "another rank": ({"r": 8}, BaseModelError, "has the rank 4"),
    "no rank": ({"r": "4"}, BaseModelError, "r of adapter_config.json"),
    "infinite alpha": ({"lora_alpha": float("inf")}, BaseModelError, "no finite number"),
    "huge alpha": ({"lora_alpha": 10**400}, BaseModelError, "no finite number"),
    "dora without magnitudes": ({"use_dora": True}, BaseModelError, "use_dora"),
    "a flag": ({"use_rslora": "yes"}, BaseModelError, "neither true nor false"),
    "head unnamed": ({"modules_to_save": None}, BaseModelError, "does not speak of"),
    "no mapping": ({"alpha_pattern": [1]}, BaseModelError, "no mapping"),
    "endless": ({"alpha_pattern": {"(a|a)+$": 1}}, CapabilityError, "for ever"),
    "nested": ({"rank_pattern": {"(.*x*)*": 1}}, CapabilityError, "for ever"),
    "bad expression": ({"rank_pattern": {"[": 1}}, BaseModelError, "rank_pattern"),
    "wrong way round": ({"fan_in_fan_out": True}, CapabilityError, "square"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_configs_that_are_refused(plain: Case, tmp_path: Path, name: str) -> None:
    config, error, message = CONFIGS[name]
    folder = edited(plain, tmp_path, **config)
    with pytest.raises(error, match=message) as caught:
        open_on(folder, plain.base)
    assert type(caught.value) is error


PART = f"base_model.model.bert.{QUERY}.lora_A.weight"
TENSORS: Mapping[str, tuple[str, torch.Tensor | None, str]] = {
    "a part is missing": (PART, None, "both of A and B"),
    "another rank": (PART, torch.zeros(3, 32), "shapes"),
    "another width": (PART, torch.zeros(4, 31), "another base|has the shape"),
    "three dimensions": (PART, torch.zeros(4, 4, 2), "shapes"),
    "empty": (PART, torch.zeros(0, 32), "shape"),
    "whole numbers": (PART, torch.zeros(4, 32, dtype=torch.int64), "no floats"),
    "another layer": (PART.replace("layer.0", "layer.9"), torch.zeros(4, 32), "A and B"),
    "a strange beginning": ("bert.x.lora_A.weight", torch.zeros(4, 32), "does not begin"),
    "a strange tensor": ("base_model.model.spell", torch.zeros(2), "does not speak of"),
    "a strange part": (f"base_model.model.{QUERY}.lora_E", torch.zeros(2), "does not speak of"),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_that_are_refused(plain: Case, tmp_path: Path, name: str) -> None:
    key, value, message = TENSORS[name]
    folder = edited(plain, tmp_path)
    edit_tensor(folder, key, value)
    with pytest.raises(BaseModelError, match=message):
        open_on(folder, plain.base)


def test_another_base_is_refused(bench: Bench, plain: Case) -> None:
    with pytest.raises(BaseModelError, match="does not have") as caught:
        open_on(plain.folder, bench.base("llama"))
    assert "another base" in caught.value.hint


def test_a_base_of_another_width_is_refused(plain: Case, tmp_path: Path) -> None:
    wide = write_tiny_model(tmp_path / "wide", "bert", hidden_size=64, num_hidden_layers=2)
    with pytest.raises(BaseModelError, match=r"\(32, 32\).*\(64, 64\)"):
        open_on(plain.folder, wide)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "adapter_model.safetensors").rename(f / "adapter_model.bin"), "pickled"),
        (lambda f: (f / "adapter_model.safetensors").unlink(), "has no adapter_model"),
        (lambda f: (f / "adapter_config.json").write_text("["), "cannot be read"),
        (lambda f: (f / "adapter_config.json").write_text("[]"), "no JSON object"),
        (lambda f: (f / "adapter_config.json").write_text(" " * 2**21), "more than"),
        (lambda f: (f / "adapter_model.safetensors").write_bytes(b"\0" * 20), "safetensors"),
    ],
)
def test_broken_files_are_refused(
    plain: Case, tmp_path: Path, change: Callable[[Path], Any], message: str
) -> None:
    folder = edited(plain, tmp_path)
    change(folder)
    with pytest.raises(BaseModelError, match=message):
        open_on(folder, plain.base)


def test_a_real_prefix_adapter_is_refused(bench: Bench) -> None:
    folder, _ = bench.adapter("bert", PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=2))
    with pytest.raises(CapabilityError, match="before the text"):
        open_on(folder, bench.base("bert"))


@pytest.mark.parametrize(
    ("factors", "message"),
    [(torch.ones(9, 1), "9 factors"), (torch.ones(2, 16), "shape"), (torch.ones(32), "shape")],
)
def test_factors_of_ia3_that_do_not_fit(
    bench: Bench, tmp_path: Path, factors: torch.Tensor, message: str
) -> None:
    folder, _ = bench.adapter("bert", IA3Config(task_type="FEATURE_EXTRACTION"))
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    edit_tensor(copy, "base_model.model.encoder.layer.0.attention.self.key.ia3_l", factors)
    with pytest.raises(BaseModelError, match=message):
        open_on(copy, bench.base("bert"))
