"""Supervised fine-tuning of a small Llama made on the spot: does held-out perplexity fall?

    python benchmarks/language.py TRAIN.jsonl TEST.jsonl --steps 150

The files hold questions and answers (GSM8K's columns). A byte-pair tokenizer is trained on the
training texts, a Llama of a few million random weights is written beside it, and then three runs go
through the pipeline: the language of the questions (causal-lm, full), which makes a base; and on
that base answers by LoRA and by full fine-tuning (sft). Printed is the perplexity of the held-out
completions before and after.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import adapterhub_lite

SPECIAL = ["<pad>", "<s>", "</s>"]


def read(file: Path, rows: int) -> list[dict[str, str]]:
    """Return the first rows of a JSONL file."""
    with file.open(encoding="utf-8") as stream:
        return [json.loads(line) for line, _ in zip(stream, range(rows), strict=False)]


def write(file: Path, rows: list[dict[str, str]]) -> str:
    """Write rows as JSONL and return where."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def make_base(folder: Path, texts: list[str]) -> str:
    """Write a random Llama with a tokenizer of its own, and return where."""
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    words.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=2000, special_tokens=SPECIAL))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=192, intermediate_size=512, num_hidden_layers=4,
        num_attention_heads=6, num_key_value_heads=6, max_position_embeddings=512,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def train(base: str, registry: Any, objective: dict[str, Any], **changes: Any) -> Any:
    """Train one recipe; return its result."""
    recipe = {"base": base, "objective": objective, "device": "cpu", **changes}
    return adapterhub_lite.train(recipe, registry=registry)


def perplexity(result: Any) -> str:
    """Return the test rows' perplexity with its interval."""
    found = result.best.test.find("perplexity")
    low, high = found.interval
    return f"{found.value:.1f} (95 %: {low:.1f} to {high:.1f}) on {result.best.test.rows} rows"


def main() -> None:
    """Make a base, fine-tune it, and print what became of the perplexity."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--rows", type=int, default=2000)
    options = parser.parse_args()
    rows, held = read(options.train, options.rows), read(options.test, 100)
    with tempfile.TemporaryDirectory() as work:
        home = Path(work)
        registry = adapterhub_lite.open_registry(home / "registry")
        base = make_base(home / "llama", [f"{r['question']} {r['answer']}" for r in rows])
        raw = write(home / "raw.jsonl", [{"text": row["question"]} for row in rows])
        raw_test = write(home / "raw-test.jsonl", [{"text": row["question"]} for row in held])
        chat, chat_test = write(home / "chat.jsonl", rows), write(home / "chat-test.jsonl", held)

        def language(steps: int, **changes: Any) -> Any:
            objective = {"name": "causal-lm", "max_steps": steps, "learning_rate": 2e-3}
            data = {"train": raw, "test": raw_test}
            return train(base, registry, objective, method="full", data=data, **changes)

        print("raw questions, one step:", perplexity(language(1)), flush=True)
        print("raw questions, trained: ", perplexity(language(options.steps, publish="tiny")))

        def answers(method: Any, steps: int, rate: float) -> Any:
            objective = {
                "name": "sft", "template": "plain", "max_steps": steps, "learning_rate": rate,
                "max_length": 512, "too_long": "drop",
            }  # fmt: skip
            data = {"train": chat, "test": chat_test}
            return train("tiny@1", registry, objective, method=method, data=data)

        print("answers, one step:      ", perplexity(answers("full", 1, 1e-6)), flush=True)
        lora = {"name": "lora", "r": 16, "target_modules": "all-linear"}
        for name, method, rate in (("lora", lora, 5e-3), ("full", "full", 1e-3)):
            after = perplexity(answers(method, options.steps, rate))
            print(f"answers, {name} trained:  ", after, flush=True)


if __name__ == "__main__":
    main()
