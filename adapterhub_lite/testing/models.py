"""Tiny bases, one of each family, and batches for each head: what methods and loaders meet."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import torch

from adapterhub_lite.architecture import Architecture, read_architecture
from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite.specs import Family, Head, HeadKind, ResolvedBase
from adapterhub_lite.testing.subject import Subject
from adapterhub_lite.testing.tiny import TINY_ROWS, write_tiny_model
from adapterhub_lite.transformer import load_transformer

# At the usual 0.02 a post-norm model of this size hardly tells its inputs apart.
WIDE: Final = {"initializer_range": 0.2}
MODELS: Final[Mapping[Family, tuple[str, Mapping[str, Any]]]] = {
    "encoder": (
        "bert",
        {**WIDE, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    ),
    "decoder": ("llama", WIDE),
    "encoder-decoder": (
        "t5",
        {
            "d_model": 32,
            "d_kv": 8,
            "d_ff": 64,
            "num_layers": 3,
            "num_heads": 4,
            "dropout_rate": 0.0,
            "classifier_dropout": 0.0,
        },
    ),
}
"""Family → the model type that stands for it, without dropout, and its config."""
HEADS: Final[Mapping[Family, tuple[HeadKind, ...]]] = {
    "encoder": (
        *("sequence-classification", "token-classification", "question-answering"),
        "none",
    ),
    "decoder": ("causal-lm", "sequence-classification", "token-classification", "none"),
    "encoder-decoder": ("seq2seq-lm", "sequence-classification", "none"),
}
"""Family → the heads that its model is loaded with, the usual one first."""
LABELS: Final = ("fruit", "tool", "music")
ROWS: Final = (0, 1, 6, 7, 12, 13)
"""Which of the tiny rows are in a batch: two of each label."""


@dataclass(frozen=True, slots=True)
class Place:
    """A base to attach to: a family's tiny model, loaded with a head."""

    family: Family
    kind: HeadKind

    def __str__(self) -> str:
        return f"{MODELS[self.family][0]} ({self.family}) with the head {self.kind}"

    @property
    def head(self) -> Head:
        """The head, with three labels where it has labels."""
        if self.kind == "sequence-classification":
            return Head(kind=self.kind, labels=LABELS, problem="single-label")
        return Head(kind=self.kind, labels=LABELS if self.kind == "token-classification" else ())


def places(families: frozenset[Family], heads: frozenset[HeadKind]) -> Iterator[Place]:
    """Yield where something can be attached, each family's usual head first."""
    for family in MODELS:
        if family in families:
            yield from (Place(family, kind) for kind in HEADS[family] if kind in heads)


def base_folder(subject: Subject, family: Family) -> Path:
    """Return the folder of a family's tiny model, written the first time."""
    model_type, config = MODELS[family]
    folder = subject.shared / "bases" / model_type
    if not folder.exists():
        write_tiny_model(folder, model_type, **config)
    return folder


def resolved_base(subject: Subject, family: Family) -> ResolvedBase:
    """Return a family's tiny model as a loader gets it."""
    folder = base_folder(subject, family)
    return ResolvedBase(ref=folder.name, path=str(folder), source="path")


def architecture(subject: Subject, family: Family) -> Architecture:
    """Return what is known of a family's tiny model before its weights are loaded."""
    folder = base_folder(subject, family)
    return read_architecture(folder, folder.name)


def fresh_base(subject: Subject, place: Place, folder: Path | None = None) -> LoadedBase:
    """Return a tiny base in 32 bits; a new head's layers are the same each time.

    ``folder`` is another one than the tiny model's: a whole model that was saved.
    """
    torch.manual_seed(0)
    if folder is not None:
        return load_transformer(folder, place.head, torch.float32, "cpu")
    base = deepcopy(_loaded(base_folder(subject, place.family), place.head))
    torch.manual_seed(0)
    return base


@lru_cache(maxsize=8)
def _loaded(folder: Path, head: Head) -> LoadedBase:
    """Load a base that is only copied: checks ask for the same one dozens of times."""
    return load_transformer(folder, head, torch.float32, "cpu")


def batch_of(base: LoadedBase) -> dict[str, torch.Tensor]:
    """Return six rows that can be told apart, with what the base's head has to learn of them."""
    chosen = [TINY_ROWS[row] for row in ROWS]
    texts = [text for text, _ in chosen]
    encoded = base.tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
    batch = {name: encoded[name] for name in ("input_ids", "attention_mask")}
    ids, mask = batch["input_ids"], batch["attention_mask"]
    end = mask.sum(1) - 2  # the word before the end token
    kind = base.head.kind
    if kind == "sequence-classification":
        batch["labels"] = torch.tensor([LABELS.index(label) for _, label in chosen])
    elif kind == "token-classification":
        batch["labels"] = (ids % len(LABELS)).masked_fill(mask == 0, -100)
    elif kind == "question-answering":
        batch |= {"start_positions": end, "end_positions": end}
    elif kind != "none":
        batch["labels"] = ids.masked_fill(mask == 0, -100)
    elif base.model.config.is_encoder_decoder:
        batch["decoder_input_ids"] = ids
    return batch


def loss_of(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the task's loss; of a bare transformer, how far its states are from a fixed line."""
    output = model(**batch)
    loss: torch.Tensor | None = getattr(output, "loss", None)
    if loss is not None:
        return loss
    # a last layer norm fixes the mean square; a direction can be learnt nevertheless
    target = torch.linspace(-1, 1, output[0].shape[-1])
    states: torch.Tensor = output[0].float()
    return (states - target).pow(2).mean()


@torch.no_grad()
def outputs(model: Any, batch: Mapping[str, torch.Tensor], **more: Any) -> torch.Tensor:
    """Return a model's logits, or last hidden states, in evaluation mode."""
    asked = {key: batch[key] for key in ("input_ids", "attention_mask")}
    if model.config.is_encoder_decoder:
        asked["decoder_input_ids"] = batch.get("decoder_input_ids", batch["input_ids"])
    answered: torch.Tensor = model.eval()(**asked, **more)[0]
    return answered.detach().float().clone()


def distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest difference over the largest value expected; infinite if not finite."""
    if found.shape != expected.shape or not bool(found.isfinite().all()):
        return float("inf")
    return float((found - expected).abs().max()) / (float(expected.abs().max()) or 1.0)
