"""A byte-level BPE tokenizer between tokenizer.json and a gguf's fields."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import gguf
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite_deploy.llama import field

_WORDS: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPLITS: Final = {_WORDS % "{1,3}": "llama-bpe", _WORDS % "": "qwen2"}
"""How a text is cut before its pieces are joined → what llama.cpp calls it."""


def split_name(tokenizer: Mapping[str, Any]) -> str:
    """Return llama.cpp's name of how a tokenizer.json cuts texts; raises CapabilityError.

    A tokenizer that is cut otherwise than llama.cpp cuts would answer, and wrongly.
    """
    if tokenizer["model"]["type"] != "BPE" or tokenizer["model"].get("byte_fallback"):
        kind = tokenizer["model"]["type"]
        raise _refusal(f"of bytes that are joined (BPE), and this is {kind} of another kind")
    if tokenizer.get("normalizer"):
        raise _refusal("without a normaliser, and this one has one")
    cut = tokenizer.get("pre_tokenizer") or {}
    steps = cut.get("pretokenizers", [cut]) if cut.get("type") == "Sequence" else [cut]
    kinds = [step.get("type") for step in steps]
    if kinds == ["ByteLevel"] and steps[0].get("use_regex", True):
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits"):
        return "smollm"
    if kinds == ["Split", "ByteLevel"]:
        pattern = steps[0].get("pattern", {}).get("Regex", "")
        if pattern in SPLITS:
            return SPLITS[pattern]
    raise _refusal("that cut texts as GPT-2, Llama 3, Qwen 2 or SmolLM do, and this one does not")


def write_vocabulary(writer: gguf.GGUFWriter, folder: Path, tokenizer: Any, size: int) -> None:
    """Write tokens, merges, special tokens and chat template of a version's tokenizer."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise _refusal("with a tokenizer.json, and there is none")
    told = json.loads(file.read_text(encoding="utf-8"))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split_name(told))
    tokens = [f"[PAD{number}]" for number in range(size)]
    types = [gguf.TokenType.UNUSED] * size
    for token, number in told["model"]["vocab"].items():
        tokens[number], types[number] = token, gguf.TokenType.NORMAL
    for added in told["added_tokens"]:
        kind = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
        tokens[added["id"]], types[added["id"]] = added["content"], kind
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    merges = told["model"]["merges"]
    writer.add_token_merges([one if isinstance(one, str) else " ".join(one) for one in merges])
    _write_special(writer, tokenizer)


def _write_special(writer: gguf.GGUFWriter, tokenizer: Any) -> None:
    empty = tokenizer("")["input_ids"]
    if empty not in ([], [tokenizer.bos_token_id]):
        raise _refusal("that put at most a first token around a text, and this one puts others")
    writer.add_add_bos_token(bool(empty))
    for name in ("bos", "eos", "pad"):
        number = getattr(tokenizer, f"{name}_token_id")
        if number is not None:
            getattr(writer, f"add_{name}_token_id")(number)
    if isinstance(tokenizer.chat_template, str):
        writer.add_chat_template(tokenizer.chat_template)


def read_tokenizer(reader: gguf.GGUFReader) -> PreTrainedTokenizerFast:
    """Return the tokenizer that a file's own fields make."""
    tokens = field(reader, "tokenizer.ggml.tokens")
    types = field(reader, "tokenizer.ggml.token_type")
    merges = [tuple(one.split(" ", 1)) for one in field(reader, "tokenizer.ggml.merges")]
    usual = {
        token: number
        for number, (token, kind) in enumerate(zip(tokens, types, strict=True))
        if kind in (gguf.TokenType.NORMAL, gguf.TokenType.CONTROL, gguf.TokenType.USER_DEFINED)
    }
    made = Tokenizer(models.BPE(usual, merges))
    made.pre_tokenizer = _cut(field(reader, "tokenizer.ggml.pre"))
    made.decoder = decoders.ByteLevel()
    for token, kind in zip(tokens, types, strict=True):
        if kind in (gguf.TokenType.CONTROL, gguf.TokenType.USER_DEFINED):
            special = kind == gguf.TokenType.CONTROL
            made.add_tokens([AddedToken(token, special=special, normalized=False)])
    names = {
        f"{name}_token": tokens[number]
        for name, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"))
        if (number := field(reader, f"tokenizer.ggml.{key}_token_id")) is not None
    }
    if field(reader, "tokenizer.ggml.add_bos_token"):
        bos = names["bos_token"]
        made.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, usual[bos])]
        )
    found = PreTrainedTokenizerFast(tokenizer_object=made, **names)
    found.chat_template = field(reader, "tokenizer.chat_template")
    return found


def _cut(name: str) -> Any:
    if name == "gpt-2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    if name == "smollm":
        cut = pre_tokenizers.Digits(individual_digits=True)
        return pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    pattern = next(pattern for pattern, known in SPLITS.items() if known == name)
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([split, plain])


def _refusal(reason: str) -> CapabilityError:
    return CapabilityError(f"gguf is written of tokenizers {reason}", hint="take hf")
