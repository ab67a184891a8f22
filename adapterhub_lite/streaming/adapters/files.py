"""An adapter's two files as PEFT writes them, read without PEFT and believed nothing."""

import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import torch

from adapterhub_lite.errors import BaseModelError, CapabilityError
from adapterhub_lite.streaming.headers import FLOATS, StoredTensor, read_file_header
from adapterhub_lite.streaming.sources import map_file, view

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"
PICKLED: Final = "adapter_model.bin"
MAX_CONFIG_BYTES: Final = 2**20
MAX_TENSORS: Final = 100_000
MAX_PATTERN: Final = 500
BEFORE: Final = "base_model.model."
"""What PEFT puts before the names of the model that an adapter is on."""
LOADED: Final = 8
"""How many of an adapter's tensors are kept as float32, so that chunks read each once."""


class AdapterFiles:
    """A config, and where each tensor lies; ``tensors`` have the names within the model.

    The config is checked when something is asked of it, the tensors by :meth:`require_form`.
    """

    def __init__(
        self,
        folder: Path,
        label: str,
        config: Mapping[str, Any],
        stored: Mapping[str, StoredTensor],
    ) -> None:
        self.label, self.config = label, config
        self.tensors = {name.removeprefix(BEFORE): tensor for name, tensor in stored.items()}
        self._stored = stored
        self._map = map_file(folder / WEIGHTS)
        self.load = lru_cache(LOADED)(self._load)
        """Return a whole tensor in float32; it may not be changed."""

    def part(self, tensor: StoredTensor, start: int, stop: int) -> torch.Tensor:
        """Return a flat slice as it is stored; it may not be changed."""
        return view(self._map, tensor, start, stop)

    def _load(self, tensor: StoredTensor) -> torch.Tensor:
        return self.part(tensor, 0, tensor.size).view(tensor.shape).to(torch.float32)

    def malformed(self, what: str, hint: str = "") -> BaseModelError:
        """Return the error for files that are not as PEFT writes them."""
        return BaseModelError(
            f"{self.label} is no valid adapter: {what}",
            ref=self.label,
            hint=hint or "save it again with PEFT, or download it again",
        )

    def require_form(self) -> None:
        """Raise BaseModelError for tensors that no adapter on a model's layers has."""
        if len(self._stored) > MAX_TENSORS:
            raise self.malformed(f"{WEIGHTS} has {len(self._stored)} tensors")
        for name, tensor in self._stored.items():
            shown = f"{name[:100]!r} in {WEIGHTS}"
            if not name.startswith(BEFORE):
                raise self.malformed(f"{shown} does not begin with {BEFORE!r}")
            if tensor.dtype not in FLOATS:
                raise self.malformed(f"{shown} holds {tensor.dtype}, no floats")
            if not tensor.size:
                raise self.malformed(f"{shown} has the shape {tensor.shape}")

    def text(self, key: str, default: str) -> str:
        """Return a setting that is a text."""
        value = self.config.get(key)
        if value is not None and not isinstance(value, str):
            raise self.malformed(f"{key} of {CONFIG} is no text")
        return default if value is None else value

    def flag(self, key: str) -> bool:
        """Return a setting that is true or false; false where it is missing."""
        value = self.config.get(key)
        if not isinstance(value, bool | None):
            raise self.malformed(f"{key} of {CONFIG} is neither true nor false")
        return bool(value)

    def number(self, key: str, value: Any) -> float:
        """Return a finite number; ``key`` names it in messages."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
            raise self.malformed(f"{key} of {CONFIG} is no finite number")
        return float(value)

    def names(self, key: str) -> tuple[str, ...]:
        """Return a setting that lists names."""
        value = self.config.get(key)
        listed = [value] if isinstance(value, str) else value or []
        if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
            raise self.malformed(f"{key} of {CONFIG} is no list of names")
        return tuple(listed)

    def patterns(self, key: str) -> list[tuple[re.Pattern[str], float]]:
        """Return a setting that maps expressions for module names to numbers, as PEFT matches it.

        Raises CapabilityError for an expression that could take for ever to match.
        """
        value = self.config.get(key) or {}
        if not isinstance(value, dict):
            raise self.malformed(f"{key} of {CONFIG} is no mapping")
        return [(self._pattern(key, text), self.number(key, n)) for text, n in value.items()]

    def _pattern(self, key: str, text: str) -> re.Pattern[str]:
        repeats = sum(text.count(sign) for sign in "*+{?")
        if len(text) > MAX_PATTERN or repeats > 2 or re.search(r"\)[*+{?]", text):
            raise CapabilityError(
                f"{key} of {self.label} has an expression that may take for ever to match: "
                f"{text[:60]!r}",
                hint=f"write the modules' names out in {CONFIG}",
            )
        try:
            return re.compile(rf"(.*\.)?({text})$")
        except (re.error, RecursionError, OverflowError) as error:
            raise self.malformed(f"{key} of {CONFIG} has {text[:60]!r}: {error}") from error


def read_adapter_files(folder: Path, label: str) -> AdapterFiles:
    """Read an adapter's config and where its tensors lie.

    Raises BaseModelError for files that are missing, pickled, malformed or too large.
    """
    config = _read_config(folder, label)
    if not (folder / WEIGHTS).is_file():
        pickled = (folder / PICKLED).is_file()
        what = f"its weights are pickled ({PICKLED})" if pickled else f"it has no {WEIGHTS}"
        raise BaseModelError(
            f"the adapter {label!r} cannot be read: {what}",
            ref=label,
            hint="pickles are never read: save it with PEFT's save_pretrained, in safetensors",
        )
    stored = read_file_header(folder / WEIGHTS, label)
    return AdapterFiles(folder, label, config, stored)


def _read_config(folder: Path, label: str) -> dict[str, Any]:
    file = folder / CONFIG
    try:
        if file.stat().st_size > MAX_CONFIG_BYTES:
            raise ValueError(f"it has more than {MAX_CONFIG_BYTES} bytes")
        config = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise TypeError("it is no JSON object")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise BaseModelError(f"{CONFIG} of {label!r} cannot be read: {error}", ref=label) from error
    return config


def _is_finite(value: int | float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
