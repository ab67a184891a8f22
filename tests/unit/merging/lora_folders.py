"""LoRA adapters on tiny models, written by PEFT with random factors."""

import copy
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import torch

from adapterhub_lite.testing import write_tiny_model
from adapterhub_lite.transformer import quiet_transformers
from adapterhub_lite.tuners.wrapping import quiet_peft

TARGETS = ("query", "value")


@cache
def tiny_base(kind: str = "bert") -> Path:
    """Write a tiny model once."""
    return write_tiny_model(Path(tempfile.mkdtemp(prefix="adapterhub-tests-")) / kind, kind)


@cache
def _loaded(base: Path, labels: int) -> Any:
    import transformers

    torch.manual_seed(7)
    with quiet_transformers():
        if labels:
            auto = transformers.AutoModelForSequenceClassification
            return auto.from_pretrained(base, num_labels=labels).eval()
        return transformers.AutoModel.from_pretrained(base).eval()


def model_of(base: Path, labels: int = 0) -> Any:
    """Return a base in transformers, with a random classifier of so many labels if any."""
    return copy.deepcopy(_loaded(base, labels))


def write_adapter(folder: Path, base: Path, seed: int, labels: int = 0, **settings: Any) -> Path:
    """Write a LoRA whose factors, and head, are noise of the seed."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        **{
            "target_modules": list(TARGETS),
            "r": 4,
            "lora_alpha": 8,
            "task_type": "SEQ_CLS" if labels else "FEATURE_EXTRACTION",
            **settings,
        }
    )
    with quiet_peft():
        model = get_peft_model(model_of(base, labels), config)
        generator = torch.Generator().manual_seed(seed)
        for name, value in model.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                value.data = 0.2 * torch.randn(value.shape, generator=generator)
        model.save_pretrained(folder)
    return folder


def adapted(folder: Path, base: Path, labels: int = 0) -> Any:
    """Load an adapter as its users do: by PEFT, with every key in its place."""
    from peft import PeftModel

    with warnings.catch_warnings():
        # PEFT only warns of keys that it misses or does not know
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", UserWarning)
        return PeftModel.from_pretrained(model_of(base, labels), folder).eval()


def updates_of(folder: Path, base: Path, labels: int = 0) -> dict[str, torch.Tensor]:
    """Return every module's ΔW, as PEFT computes it, in float64."""
    model = adapted(folder, base, labels)
    return {
        name.removeprefix("base_model.model."): module.get_delta_weight("default").detach().double()
        for name, module in model.named_modules()
        if hasattr(module, "get_delta_weight")
    }


def outputs(model: Any) -> torch.Tensor:
    """Return what a model answers to a few tokens."""
    tokens = torch.arange(24).view(3, 8) % model.config.vocab_size
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=tokens)[0]
    return found
