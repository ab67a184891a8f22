"""Tiny tokenizers made on the spot, and models whose embeddings tell where they are from."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from adapterhub_lite.merging.folder.tokenizer import tokenizer_files
from adapterhub_lite.merging.opening import Opened
from adapterhub_lite.merging.vocabulary.vocabulary import Vocabulary
from adapterhub_lite.recipes.merge import TokenizerSection
from adapterhub_lite.streaming.sources import StateSource
from adapterhub_lite.transformer import load_tokenizer

WIDTH = 4
EMBEDDINGS = "model.embed_tokens.weight"


def save(folder: Path, tokenizer: Tokenizer, **config: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    told = {"tokenizer_class": "TokenizersBackend", "unk_token": "[UNK]", **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


def words(folder: Path, tokens: Sequence[str], added: Sequence[str] = (), **config: Any) -> Path:
    """Write a word-level tokenizer; ``added`` are special tokens behind its words."""
    vocabulary = {token: number for number, token in enumerate(["[UNK]", *tokens])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in added])
    return save(folder, tokenizer, **config)


def pieces(folder: Path, merges: Sequence[tuple[str, str]], added: Sequence[str] = ()) -> Path:
    """Write a BPE tokenizer of the letters a to f and what the merges make."""
    known = ["[UNK]", *"abcdef", *(left + right for left, right in merges)]
    vocabulary = {token: number for number, token in enumerate(known)}
    tokenizer = Tokenizer(models.BPE(vocabulary, list(merges), unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in added])
    return save(folder, tokenizer)


def opened(folder: Path, rows: int | None = None, ref: str = "") -> Opened:
    """Return a model whose every embedding tells its own row and folder."""
    own = Tokenizer.from_file(str(folder / "tokenizer.json"))
    count = rows or max(own.get_vocab().values()) + 1
    seed = sum(map(ord, folder.name)) * 1000
    weight = torch.arange(count * WIDTH, dtype=torch.float32).view(count, WIDTH) + seed
    ref = ref or folder.name
    return Opened(ref=ref, source=StateSource({EMBEDDINGS: weight}, ref), folder=folder, config={})


def section(source: str = "base", **more: Any) -> TokenizerSection:
    return TokenizerSection(source=source, **more)


def embedding(vocabulary: Vocabulary, model: Opened, token: str) -> torch.Tensor:
    """Return what a model has, in the output's vocabulary, for a token."""
    row = vocabulary.ids[token]
    return vocabulary.resized(model.source).raw(EMBEDDINGS)[row]


def own_embedding(model: Opened, token: str) -> torch.Tensor:
    row = Tokenizer.from_file(str(model.folder / "tokenizer.json")).get_vocab()[token]
    return model.source.raw(EMBEDDINGS)[row]


def written(vocabulary: Vocabulary, folder: Path) -> Any:
    """Write the output's tokenizer as a merge does, and load it in transformers."""
    folder.mkdir()
    files = tokenizer_files(vocabulary, None)
    for name, source in files.copied.items():
        (folder / name).write_bytes(source.read_bytes())
    for name, data in files.made.items():
        (folder / name).write_bytes(data)
    return load_tokenizer(folder)


def word_pieces(folder: Path, tokens: Sequence[str]) -> Path:
    vocabulary = {token: number for number, token in enumerate(["[UNK]", *tokens])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return save(folder, tokenizer)
