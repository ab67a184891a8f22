"""A LoRA of AdapterHub's comes in, and answers as its own definition says.

The library cannot be installed beside this transformers: the folders are written by the form of its
files, and the reference is computed here, from its definition: W + alpha / r * B A, and a head of
dropout, dense, tanh, dropout, dense on the first token.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from numpy.testing import assert_allclose
from safetensors.torch import save_file

import adapterhub_lite
from adapterhub_lite.testing import write_tiny_model
from adapterhub_lite.transformer import quiet_transformers

Ahl = Callable[..., Any]
State = dict[str, torch.Tensor]
TEXTS = ["the apple is sweet", "please tune the drum"]
NAME, RANK, ALPHA = "my.lora", 4, 6


@pytest.fixture(scope="module", params=["bert", "roberta"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("bases") / request.param, request.param)


PLACES = {
    "bert": ("bert.encoder.layer", (("attention.self.query", 32), ("output.dense", 64))),
    "roberta": ("roberta.encoder.layer", (("attention.self.query", 32), ("output.dense", 64))),
    "llama": ("model.layers", (("self_attn.q_proj", 32), ("mlp.down_proj", 64))),
}


def factors(kind: str) -> State:
    torch.manual_seed(3)
    layers, parts = PLACES[kind]
    return {
        f"{layers}.{layer}.{part}.loras.{NAME}.lora_{end}": torch.randn(shape)
        for layer in range(3)
        for part, wide in parts
        for end, shape in (("A", (RANK, wide)), ("B", (32, RANK)))
    }


def head() -> State:
    torch.manual_seed(4)
    shapes = {"1": (32, 32), "4": (3, 32)}
    return {
        f"heads.{NAME}.{number}.{end}": torch.randn(shape if end == "weight" else shape[:1])
        for number, shape in shapes.items()
        for end in ("weight", "bias")
    }


def write(folder: Path, kind: str, *, pickled: bool, with_head: bool, **changed: Any) -> Path:
    folder.mkdir()
    method = {
        "architecture": "lora", "alpha": ALPHA, "r": RANK, "attn_matrices": ["q"], "dropout": 0.1,
        "composition_mode": "add", "use_gating": False, "use_dora": False, "selfattn_lora": True,
        "output_lora": True, "intermediate_lora": False, "leave_out": [], **changed,
    }  # fmt: skip
    about = {"hidden_size": 32, "model_class": "X", "model_name": "none", "model_type": kind,
             "name": NAME, "version": "adapters.1.2.0"}  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps({**about, "config": method}))
    parts = [("adapter.safetensors", "pytorch_adapter.bin", factors(kind))]
    if with_head:
        told = {"head_type": "classification", "num_labels": 3, "layers": 2, "use_pooler": False,
                "activation_function": "tanh", "label2id": {"yes": 2, "no": 0, "maybe": 1},
                "bias": True, "dropout_prob": None}  # fmt: skip
        (folder / "head_config.json").write_text(json.dumps({**about, "config": told}))
        parts.append(("model_head.safetensors", "pytorch_model_head.bin", head()))
    for safe, unsafe, state in parts:
        if pickled:
            torch.save(state, folder / unsafe)
        else:
            save_file(state, folder / safe)
    return folder


def add_factors(model: Any, kind: str, *, bare: bool) -> None:
    state = factors(kind)
    for key, a in state.items():
        if key.endswith("lora_A"):
            module = key.partition(".loras.")[0]
            b = state[key[:-1] + "B"]
            named = module.partition(".")[2] if bare else module
            model.get_submodule(named).weight.data += ALPHA / RANK * b @ a


def hidden_states(base: Path) -> torch.Tensor:
    """Return the last hidden states (rows, tokens, 32) of the base with the factors added."""
    with quiet_transformers():
        model = transformers.AutoModel.from_pretrained(base).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    add_factors(model, base.name, bare=True)
    with torch.no_grad():
        batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
        found: torch.Tensor = model(**batch).last_hidden_state
    return found


@pytest.mark.parametrize("pickled", [False, True])
def test_the_probabilities_are_those_of_its_definition(
    ahl: Ahl, base: Path, tmp_path: Path, pickled: bool
) -> None:
    source = write(tmp_path / "source", base.name, pickled=pickled, with_head=True)
    options = ("--base", base, "--name", "a", *(("--convert-pickle",) if pickled else ()))
    done = ahl("import", source, *options, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["format"], told["labels"]) == ("adapters", ["no", "maybe", "yes"])
    dense, bias, out, last = (head()[f"heads.{NAME}.{key}"]
                              for key in ("1.weight", "1.bias", "4.weight", "4.bias"))  # fmt: skip
    first = torch.tanh(hidden_states(base)[:, 0] @ dense.T + bias)
    expected = (first @ out.T + last).softmax(-1)
    assert_allclose(adapterhub_lite.load("a").predict_proba(TEXTS), expected, atol=1e-5)


def test_without_a_head_it_embeds(ahl: Ahl, base: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "source", base.name, pickled=False, with_head=False)
    assert "--objective" in ahl("import", source, "--base", base, "--name", "a").err
    done = ahl("import", source, "--base", base, "--name", "a", "--objective", "embedding")
    assert done.code == 0, done.err
    one = adapterhub_lite.load("a").predict(TEXTS[:1])[0].vector
    with quiet_transformers():
        count = len(transformers.AutoTokenizer.from_pretrained(base)(TEXTS[0])["input_ids"])
    mean = hidden_states(base)[0, :count].mean(0)
    assert_allclose(one, mean / mean.norm(), atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"architecture": "prefix_tuning"}, "architecture = 'prefix_tuning'"),
        ({"architecture": None}, "architecture = None"),
        ({"use_gating": True}, "use_gating"),
        ({"r": 2_000_000}, "says the rank 2000000, and has [4]"),
        ({"alpha": "six"}, "lora_alpha"),
    ],
)
def test_what_computes_otherwise_is_refused(
    ahl: Ahl, base: Path, tmp_path: Path, changed: dict[str, Any], reason: str
) -> None:
    source = write(tmp_path / "source", base.name, pickled=False, with_head=True, **changed)
    done = ahl("import", source, "--base", base, "--name", "a")
    assert done.code == 2
    assert reason in done.err


def test_its_pickles_are_refused_unless_asked_for(ahl: Ahl, base: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "source", base.name, pickled=True, with_head=False)
    done = ahl("import", source, "--base", base, "--name", "a", "--objective", "embedding")
    assert done.code == 2
    assert "--convert-pickle" in done.err


# PEFT asks models for it
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_a_language_models_logits_are_those_of_its_definition(ahl: Ahl, tmp_path: Path) -> None:
    base = write_tiny_model(tmp_path / "llama", "llama")
    source = write(tmp_path / "source", "llama", pickled=False, with_head=False)
    done = ahl("import", source, "--base", base, "--name", "a", "--objective", "causal-lm")
    assert done.code == 0, done.err
    assert ahl("export", "a", tmp_path / "out", "--format", "peft").code == 0
    ids = torch.arange(5, 20)[None]
    with quiet_transformers(), torch.no_grad():
        models = [transformers.AutoModelForCausalLM.from_pretrained(base).eval() for _ in range(2)]
        add_factors(models[0], "llama", bare=False)
        theirs = peft.PeftModel.from_pretrained(models[1], str(tmp_path / "out"))
        expected, found = (model(input_ids=ids).logits for model in (models[0], theirs))
    assert_allclose(found, expected, atol=1e-4)
