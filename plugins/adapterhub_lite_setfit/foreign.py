"""What the JSON files of a SetFit folder say, as far as it changes a prediction."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterhub_lite.deployment.model_folders import (
    read_json,
    read_model_config,
    read_sentence_settings,
)
from adapterhub_lite.errors import BaseModelError
from adapterhub_lite.pooling import Pooling


@dataclass(frozen=True, slots=True)
class ForeignSettings:
    """How a SetFit folder's encoder is used, and what its labels are called.

    ``labels`` is empty when the folder does not say; ``max_length`` None when the tokenizer does.
    """

    labels: tuple[str, ...]
    pooling: Pooling
    max_length: int | None


def read_settings(folder: Path, ref: str) -> ForeignSettings:
    """Read the settings; BaseModelError for what does not parse or is not understood."""
    read_model_config(folder, ref)  # for its sizes only: transformers reads it again
    setfit = read_json(folder / "config_setfit.json", ref)
    if not (folder / "modules.json").is_file():
        raise BaseModelError(
            f"{ref} is no SetFit folder: it has no modules.json",
            ref=ref,
            hint="give a folder that SetFitModel.save_pretrained wrote",
        )
    pooling, max_length = read_sentence_settings(folder, ref)
    normalise = pooling.normalise or setfit.get("normalize_embeddings") is True
    return ForeignSettings(_labels(setfit, ref), Pooling(pooling.mode, normalise), max_length)


def _labels(setfit: Mapping[str, Any], ref: str) -> tuple[str, ...]:
    labels = setfit.get("labels") or []
    if not isinstance(labels, list) or not all(isinstance(name, str | int) for name in labels):
        raise BaseModelError(f"config_setfit.json of {ref} has labels that are no names", ref=ref)
    return tuple(map(str, labels))
