"""From token embeddings to one embedding a text, as a sentence-transformers folder says it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch.nn.functional import normalize

from adapterhub_lite.errors import BaseModelError

Mode = Literal["mean", "cls", "max", "mean_sqrt_len_tokens", "lasttoken"]

_KEYS: dict[str, Mode] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_lasttoken": "lasttoken",
}


@dataclass(frozen=True, slots=True)
class Pooling:
    """How token embeddings become one vector, and whether it is scaled to length 1."""

    mode: Mode = "mean"
    normalise: bool = True

    def __call__(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Pool ``hidden`` (rows, tokens, width) under ``mask`` (rows, tokens) to (rows, width)."""
        pooled = self._pool(hidden, mask)
        return normalize(pooled, dim=-1) if self.normalise else pooled

    def _pool(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        match self.mode:
            case "mean":
                return (hidden * weights).sum(1) / weights.sum(1)
            case "mean_sqrt_len_tokens":
                return (hidden * weights).sum(1) / weights.sum(1).sqrt()
            case "max":
                return hidden.masked_fill(weights == 0, float("-inf")).amax(1)
            case "cls":
                return hidden[:, 0]
            case "lasttoken":
                last = mask.sum(1) - 1  # rows are padded on the right
                return hidden[torch.arange(len(hidden), device=hidden.device), last]


def read_pooling(folder: Path) -> Pooling:
    """Read a folder's pooling: from its ``modules.json``, else mean pooling scaled to length 1.

    Raises BaseModelError when the folder has modules that are not understood (a dense layer, two
    pooling modes at once): leaving them out would give other embeddings than the folder means.
    """
    modules_file = folder / "modules.json"
    if not modules_file.is_file():
        return Pooling()
    mode: Mode = "mean"
    normalise = False
    for module in json.loads(modules_file.read_text(encoding="utf-8")):
        match str(module["type"]).rsplit(".", 1)[-1]:
            case "Transformer":
                continue
            case "Pooling":
                mode = _read_mode(folder / Path(module["path"]).name / "config.json")
            case "Normalize":
                normalise = True
            case other:
                raise BaseModelError(
                    f"the sentence-transformers module {other!r} is not supported",
                    ref=str(folder),
                    hint="use a base whose modules are Transformer, Pooling and Normalize",
                )
    return Pooling(mode, normalise)


def _read_mode(file: Path) -> Mode:
    config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    named = config.get("pooling_mode")  # the spelling of sentence-transformers 5 and later
    if isinstance(named, str) and named in get_args(Mode):
        return named  # type: ignore[return-value]  # checked against the literals just above
    modes = [mode for key, mode in _KEYS.items() if config.get(key)]
    if len(modes) != 1:
        found = ", ".join(key for key, value in config.items() if value is True) or named
        raise BaseModelError(
            f"the pooling {found!r} is not supported",
            ref=str(file.parent),
            hint=f"supported, one at a time: {', '.join(get_args(Mode))}",
        )
    return modes[0]


def write_pooling(pooling: Pooling, width: int, folder: Path) -> None:
    """Write ``modules.json`` and the pooling's config, so that sentence-transformers loads it."""
    types = ["Transformer", "Pooling", *(["Normalize"] if pooling.normalise else [])]
    modules = [
        {
            "idx": number,
            "name": str(number),
            "path": "" if kind == "Transformer" else f"{number}_{kind}",
            "type": f"sentence_transformers.models.{kind}",
        }
        for number, kind in enumerate(types)
    ]
    key = next(key for key, mode in _KEYS.items() if mode == pooling.mode)
    config = {"word_embedding_dimension": width, **{name: name == key for name in _KEYS}}
    _write_json(folder / "modules.json", modules)
    _write_json(folder / "1_Pooling" / "config.json", config)


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
