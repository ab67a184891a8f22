"""A tiny Llama with a byte-level tokenizer of GPT-2's kind, and adapters trained on it."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from adapterhub_lite.testing import TINY_ROWS, write_tiny_model
from adapterhub_lite.transformer import quiet_transformers

SPECIAL = ["<|end|>", "<|im_start|>", "<|im_end|>"]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_tokenizer(template: str | None = CHATML) -> PreTrainedTokenizerFast:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([text for text, _ in TINY_ROWS], trainer)
    found = PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token=SPECIAL[0], pad_token=SPECIAL[0]
    )
    found.chat_template = template
    return found


def write_decoder(folder: Path, template: str | None = CHATML, **config: Any) -> Path:
    """Write a random Llama of 3 layers, 4 heads and 2 for keys and values."""
    tokenizer = byte_tokenizer(template)
    sizes = {
        "initializer_range": 0.2,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "vocab_size": len(tokenizer),
        **{f"{name}_token_id": tokenizer.eos_token_id for name in ("bos", "eos", "pad")},
    }
    write_tiny_model(folder, "llama", **{**sizes, **config})
    with quiet_transformers():
        tokenizer.save_pretrained(folder)
    return folder
