"""How far each deployment's answers are from the version's: the table of docs/deploy.md.

    python benchmarks/deployments.py

Trains on the packaged MiniLM a few-shot classifier (SetFit's way) and a LoRA classifier, and a LoRA
adapter on a small random Llama, and deploys each to every target that takes it.
"""

import argparse
import csv
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from adapterhub_lite import api
from adapterhub_lite.errors import CapabilityError, SelfTestError
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.specs import ExporterSpec
from adapterhub_lite.testing import write_tiny_model
from adapterhub_lite.transformer import quiet_transformers

DATA = Path(__file__).parent / "data"
LORA = {"name": "lora", "r": 8, "target_modules": "all-linear"}
OPTIONS: Mapping[str, tuple[Mapping[str, str], ...]] = {
    "onnx": ({}, {"quantise": "int8"}),
    "gguf": ({"dtype": "f32"}, {"dtype": "f16"}, {"dtype": "q8_0"}),
    "ollama": ({"dtype": "q8_0"},),
}
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def recipes(place: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what is trained, by its name."""
    data = {"train": str(DATA / "sentiment_train.csv"), "text": "text", "label": "label"}
    yield "few-shot", {"base": "minilm", "preset": "setfit", "data": {**data, "shots": 8}}
    objective: dict[str, Any] = {"name": "classification", "max_steps": 40, "learning_rate": 2e-3}
    yield "lora", {"base": "minilm", "method": LORA, "objective": objective, "data": data}
    objective = {"name": "sft", "max_steps": 20, "learning_rate": 1e-2, "max_new_tokens": 8}
    yield (
        "llama-lora",
        {
            "base": str(write_llama(place)),
            "method": LORA,
            "objective": objective,
            "data": {"train": str(place / "chat.jsonl")},
        },
    )


def write_llama(place: Path) -> Path:
    """Write a random Llama of 64 numbers a token with a byte-level tokenizer, and dialogues."""
    with (DATA / "sentiment_train.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    turns = [
        [{"role": "user", "content": row["text"]}, {"role": "assistant", "content": row["label"]}]
        for row in rows
    ]
    lines = "".join(json.dumps({"messages": one}) + "\n" for one in turns)
    (place / "chat.jsonl").write_text(lines, encoding="utf-8")
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1000, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([row["text"] for row in rows], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token=special[0], pad_token=special[0]
    )
    tokenizer.chat_template = TEMPLATE
    sizes = {f"{name}_token_id": tokenizer.eos_token_id for name in ("bos", "eos", "pad")}
    folder = write_tiny_model(
        place / "llama",
        "llama",
        hidden_size=64,
        intermediate_size=128,
        initializer_range=0.1,
        num_key_value_heads=2,
        max_position_embeddings=512,
        vocab_size=len(tokenizer),
        **sizes,
    )
    with quiet_transformers():
        tokenizer.save_pretrained(folder)
    return folder


def rows_of(place: Path) -> Iterator[str]:
    """Train and deploy everything; yield the table's rows."""
    registry = api.open_registry(place / "registry")
    offers = [offer.spec for offer in get_catalogue().usable("exporter")]
    targets = [spec for spec in offers if isinstance(spec, ExporterSpec) and spec.deploys]
    for name, recipe in recipes(place):
        api.train({**recipe, "publish": name}, registry=registry)
        for spec in targets:
            for number, params in enumerate(OPTIONS.get(spec.name, ({},))):
                out = place / f"{name}-{spec.name}-{number}"
                try:
                    done = api.deploy(name, spec.name, out=out, params=params, registry=registry)
                except CapabilityError:
                    continue  # the target does not take such a version
                except SelfTestError as refused:
                    yield f"| {name} | {spec.name} {' '.join(params.values())} | {refused} | | |"
                    continue
                parity = done.parity
                agreed = "" if parity.agreement is None else f"{parity.agreement:.1%}"
                told = " ".join([spec.name, *params.values()])
                allowed = parity.tolerance.difference * max(1.0, parity.scale)
                yield (
                    f"| {name} | `{told}` | {parity.difference:.1e} | {allowed:.0e} | {agreed} |"
                )


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    print("| version | target | largest difference | allowed | equal decisions |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        for row in rows_of(Path(place)):
            print(row, flush=True)


if __name__ == "__main__":
    main()
