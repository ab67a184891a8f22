"""What the matrix is made of: variants of methods, objectives with rows, tiny bases."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch

from adapterhub_lite.bases import fingerprint
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.inference.artifact import ArtifactInfo, NeededBase, write_artifact_info
from adapterhub_lite.specs import Head, ResolvedBase
from adapterhub_lite.testing import TINY_ROWS, write_tiny_model
from adapterhub_lite.testing.models import MODELS
from adapterhub_lite.transformer import load_transformer
from adapterhub_lite_peft.conformance import FITTING
from adapterhub_lite_peft.method import PeftMethod
from adapterhub_lite_peft.params import params_model

# At the usual 0.02 a post-norm model of this size hardly tells its inputs apart.
ENCODER: Final = {"initializer_range": 0.2}
ARCHITECTURES: Final[Mapping[str, Mapping[str, Any]]] = {
    "bert": {**ENCODER, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "roberta": {**ENCODER, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "distilbert": {
        **ENCODER,
        "dim": 32,
        "n_layers": 3,
        "hidden_dim": 64,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "seq_classif_dropout": 0.0,
        "qa_dropout": 0.0,
    },
    "gpt2": {
        "n_embd": 32,
        "n_layer": 3,
        "n_head": 4,
        "n_positions": 80,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
    },
    "llama": {"initializer_range": 0.2},
    "t5": MODELS["encoder-decoder"][1],
}
"""Model type → its config, beside the sizes of every tiny model; 32 wide, 3 layers.

Without dropout, so that the losses of two steps differ by what was learnt alone.
"""
TITLES: Final = ("BERT", "RoBERTa", "DistilBERT", "GPT-2", "Llama", "T5")

OBJECTIVE_PARAMS: Final[Mapping[str, Mapping[str, Any]]] = {
    # its batches are drawn, so that it takes more steps to see the loss fall
    "contrastive": {"steps": 24, "learning_rate": 1e-2, "folds": 0, "max_length": 32},
    "causal-lm": {"block_size": 16, "max_new_tokens": 4},
    "sft": {"template": "plain", "max_length": 64, "max_new_tokens": 4},
    "seq2seq": {"max_new_tokens": 4},
    "question-answering": {"max_length": 48, "stride": 8},
    "embedding": {"max_length": 32},
}
RATES: Final = {"pvera": 0.05}
"""Learning rates of methods whose samples hide what six steps of their own rate change."""
ADAPTERS: Final = ("adapter-0", "adapter-1")
"""Adapters on each base, upon which others are trained."""
STEPS: Final = {"max_steps": 6, "batch_size": 64}
"""A batch holds all rows, so that the losses of two steps are of the same rows."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A line of the matrix: a method with parameters, or a preset."""

    name: str
    title: str
    recipe: Mapping[str, Any] = field(hash=False)
    main: bool = False


MAIN: Final = frozenset({"bottleneck", "full", "lora", "prefix"})
"""Methods that are trained with every objective on every architecture each time."""

FURTHER: Final = (
    Variant("partial", "`full` (`layers: 1`)", {"method": {"name": "full", "layers": 1}}),
    Variant("linear-probe", "preset `linear-probe`", {"preset": "linear-probe"}),
    Variant("qlora", "preset `qlora`", {"preset": "qlora"}, True),
    Variant("houlsby", "preset `houlsby`", {"preset": "houlsby"}),
    Variant(
        "parallel",
        "`bottleneck` (`style: parallel`)",
        {"method": {"name": "bottleneck", "style": "parallel"}},
    ),
)
"""Other arrangements of a method, and its presets; `pfeiffer` is the bottleneck's default."""


def variants(catalogue: Catalogue) -> tuple[Variant, ...]:
    """Return every method with parameters that fit tiny layers, then further arrangements."""
    methods = (
        Variant(
            name, f"`{name}`", {"method": {"name": name, **FITTING.get(name, {})}}, name in MAIN
        )
        for name in catalogue.names("method")
    )
    return (*methods, *FURTHER)


@dataclass(frozen=True, slots=True)
class Cell:
    """A variant, an objective and an architecture."""

    variant: Variant
    objective: str
    architecture: str

    @property
    def name(self) -> str:
        """The cell's name, which is a version's too."""
        return f"{self.variant.name}-{self.objective}-{self.architecture}"


@dataclass(frozen=True, slots=True)
class Bench:
    """A folder with a tiny base and adapters for every architecture, rows for every objective."""

    folder: Path

    def rows(self, objective: str) -> Path:
        """Return the file with an objective's rows."""
        return self.folder / f"{objective}.jsonl"

    def recipe(self, cell: Cell, *, absolute: bool = True) -> dict[str, Any]:
        """Return the recipe of a cell; with relative paths it names no place of this machine."""
        place = self.folder if absolute else Path()
        objective: dict[str, Any] = {"name": cell.objective}
        if cell.objective != "contrastive":
            objective |= STEPS
        objective |= OBJECTIVE_PARAMS.get(cell.objective, {})
        if rate := RATES.get(cell.variant.name):
            objective["learning_rate"] = rate
        recipe = {
            "base": str(place / cell.architecture),
            "objective": objective,
            "data": {"train": str(place / f"{cell.objective}.jsonl")},
            "device": "cpu",
            **cell.variant.recipe,
        }
        if cell.variant.name == "fusion":
            adapters = [f"{place}/{cell.architecture}-{name}" for name in ADAPTERS]
            recipe["method"] = {"name": "fusion", "adapters": adapters}
        return recipe


def write_bench(folder: Path) -> Bench:
    """Write all bases and rows."""
    for model_type, config in ARCHITECTURES.items():
        write_tiny_model(folder / model_type, model_type, **config)
        for number, name in enumerate(ADAPTERS):
            _write_lora(folder / model_type, folder / f"{model_type}-{name}", number)
    bench = Bench(folder)
    for objective, rows in ROWS.items():
        lines = "".join(f"{json.dumps(row)}\n" for row in rows)
        bench.rows(objective).write_text(lines, encoding="utf-8")
    return bench


def _write_lora(base: Path, folder: Path, seed: int) -> None:
    """Write a LoRA of random numbers, as one for embeddings, whose base is bare."""
    torch.manual_seed(seed)
    loaded = load_transformer(base, Head(), torch.float32, "cpu")
    attached = PeftMethod().attach(loaded, params_model("LORA")())
    for name, value in attached.model.named_parameters():
        if name in attached.trainable:
            value.data += 0.3 * torch.randn(value.shape)
    PeftMethod().save(attached, folder)
    place = ResolvedBase(ref=base.name, path=str(base), source="path")
    needed = NeededBase(ref=base.name, fingerprint=fingerprint(place))
    task = ArtifactInfo(
        task="sentence-similarity", method="lora", objective="embedding", base=needed
    )
    write_artifact_info(folder, task)


def _questions() -> Iterator[dict[str, Any]]:
    for text, _ in TINY_ROWS:
        answer = text.split()[-1]
        yield {"question": "this is the", "context": text, "answers": [answer]}


def _tagged() -> Iterator[dict[str, Any]]:
    for text, label in TINY_ROWS:
        words = text.split()
        tags = ["O"] * (len(words) - 1) + [f"B-{label}"]
        yield {"words": words, "tags": tags}


LABELS: Final = ("fruit", "tool", "music")
LABELLED: Final = [{"text": text, "label": label} for text, label in TINY_ROWS]
ROWS: Final[Mapping[str, list[dict[str, Any]]]] = {
    "classification": LABELLED,
    "contrastive": LABELLED,
    "regression": [
        {"text": text, "value": float(LABELS.index(label))} for text, label in TINY_ROWS
    ],
    "tagging": list(_tagged()),
    "question-answering": list(_questions()),
    "embedding": [
        {"anchor": text, "positive": f"please {' '.join(reversed(text.split()))}"}
        for text, _ in TINY_ROWS
    ],
    "causal-lm": [{"text": text} for text, _ in TINY_ROWS],
    "sft": [
        {"prompt": text, "completion": f" {text.split()[-1]} is {text.split()[0]}"}
        for text, _ in TINY_ROWS
    ],
    "seq2seq": [{"source": text, "target": text.split()[-1]} for text, _ in TINY_ROWS],
}
"""Objective → rows it trains on."""
