"""Makes the comparison vectors anew: tiny models, and what mergekit makes of them.

    python tests/vectors/merging/regenerate.py MERGEKIT_YAML

MERGEKIT_YAML is the command ``mergekit-yaml`` of an environment that has mergekit. It is run as it
is, once for each file of ``recipes/``; what it writes goes to ``expected/``, and the versions of
what took part to ``versions.json``. The models are kept unless ``--models`` is given: a new release
of torch may draw other numbers.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

HERE = Path(__file__).resolve().parent
HIDDEN, INNER, LAYERS, VOCABULARY = 8, 12, 3, 16
UNCHANGED = 0.3
"""The share of a fine-tuned model's numbers that are the base's."""
LARGE, SMALL = 0.05, 2e-4
"""How far fine-tuned numbers are from the base's; the base's own are around 0.2."""
DISTRIBUTIONS = ("mergekit", "safetensors", "torch", "transformers")

State = dict[str, torch.Tensor]


def shapes() -> dict[str, tuple[int, ...]]:
    """Return the tensors of a Llama."""
    found: dict[str, tuple[int, ...]] = {
        "lm_head.weight": (VOCABULARY, HIDDEN),
        "model.embed_tokens.weight": (VOCABULARY, HIDDEN),
        "model.norm.weight": (HIDDEN,),
    }
    for layer in range(LAYERS):
        for name, shape in {
            "input_layernorm": (HIDDEN,),
            "post_attention_layernorm": (HIDDEN,),
            "mlp.down_proj": (HIDDEN, INNER),
            "mlp.gate_proj": (INNER, HIDDEN),
            "mlp.up_proj": (INNER, HIDDEN),
            **{f"self_attn.{letter}_proj": (HIDDEN, HIDDEN) for letter in "kqvo"},
        }.items():
            found[f"model.layers.{layer}.{name}.weight"] = shape
    return found


def tuned(base: State, seed: int, distance: float) -> State:
    """Return a model whose numbers are the base's or near them."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, value in base.items():
        moved = torch.rand(value.shape, generator=generator) >= UNCHANGED
        state[name] = value + distance * torch.randn(value.shape, generator=generator) * moved
    return state


def write_models(folder: Path) -> None:
    """Write every model as a folder: in 32 and 16 bits, and very near to the base."""
    generator = torch.Generator().manual_seed(0)
    base = {name: torch.randn(shape, generator=generator) * 0.2 for name, shape in shapes().items()}
    save(folder / "fp32/base", base)
    for number, name in enumerate(("one", "two", "three"), 1):
        save(folder / "fp32" / name, tuned(base, number, LARGE))
        save(folder / "small" / name, tuned(base, number, SMALL))
    for path in sorted((folder / "fp32").iterdir()):
        state = load_file(path / "model.safetensors")
        save(folder / "bf16" / path.name, {name: v.bfloat16() for name, v in state.items()})


def save(folder: Path, state: State) -> None:
    """Write a model's weights and config."""
    folder.mkdir(parents=True)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    dtype = str(state["model.norm.weight"].dtype).removeprefix("torch.")
    config = {
        "architectures": ["LlamaForCausalLM"],
        "dtype": dtype,
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "max_position_embeddings": 32,
        "model_type": "llama",
        "num_attention_heads": 2,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "vocab_size": VOCABULARY,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def expected(command: str, recipe: Path) -> State:
    """Return what mergekit makes of a recipe."""
    options = ["--no-copy-tokenizer", "--no-write-model-card", "--quiet", "--random-seed", "1"]
    with tempfile.TemporaryDirectory() as out:
        subprocess.run([command, str(recipe), out, *options], cwd=HERE, check=True)
        state: State = {}
        for file in sorted(Path(out).glob("*.safetensors")):
            state |= load_file(file)
    return state


def versions(command: str) -> dict[str, str]:
    """Return the versions that mergekit runs with."""
    asked = "import importlib.metadata as m, json, sys; "
    asked += f"print(json.dumps({{n: m.version(n) for n in {DISTRIBUTIONS}}}))"
    interpreter = Path(command).parent / "python"
    answer = subprocess.run([interpreter, "-c", asked], check=True, capture_output=True)
    found: dict[str, str] = json.loads(answer.stdout)
    return found


def main() -> None:
    """Write models, expected tensors and versions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mergekit", help="the command mergekit-yaml")
    parser.add_argument("--models", action="store_true", help="make the models anew, too")
    parser.add_argument("--only", nargs="*", help="recipes by name (default: all)")
    options = parser.parse_args()
    if options.models:
        shutil.rmtree(HERE / "models", ignore_errors=True)
        write_models(HERE / "models")
    (HERE / "expected").mkdir(exist_ok=True)
    for recipe in sorted((HERE / "recipes").glob("*.yml")):
        if options.only and recipe.stem not in options.only:
            continue
        save_file(
            expected(options.mergekit, recipe), HERE / "expected" / f"{recipe.stem}.safetensors"
        )
        print(recipe.stem, flush=True)
    known = json.dumps(versions(options.mergekit), indent=2, sort_keys=True)
    (HERE / "versions.json").write_text(known + "\n")


if __name__ == "__main__":
    main()
