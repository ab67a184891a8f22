"""An adapter's two files, as PEFT writes and reads them: ``adapter_config.json`` and its weights.

What is written is deterministic and names no place on this machine; what is read is believed
nothing: every tensor has to be expected.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from adapterhub_lite.errors import IntegrityError
from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite.tuners.wrapping import PEFT_ERRORS, first_line, quiet_peft

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"
MAX_CONFIG_BYTES: Final = 1024 * 1024

State = dict[str, torch.Tensor]


def peft_state(model: Any, adapter: str = "default") -> State:
    """Return a wrapped model's own tensors: an adapter and the modules trained whole with it."""
    with quiet_peft():
        state: State = get_peft_model_state_dict(
            model, adapter_name=adapter, save_embedding_layers=False
        )
    return state


def adapter_state(model: Any, adapter: str = "default") -> State:
    """Return what is saved of a wrapped model, as :func:`peft_state`, copied."""
    state = peft_state(model, adapter)
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}


def write_adapter(folder: Path, config: Any, state: State, changes: Mapping[str, Any]) -> None:
    """Write both files; ``changes`` are settings that are saved other than they were trained."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    saved = {key: _plain(value) for key, value in config.to_dict().items()}
    saved |= {"inference_mode": True, "base_model_name_or_path": None, "revision": None}
    saved |= {key: value for key, value in changes.items() if key in saved}
    text = json.dumps(saved, indent=2, sort_keys=True) + "\n"
    (folder / CONFIG).write_text(text, encoding="utf-8")


def read_config(folder: Path) -> dict[str, Any]:
    """Read ``adapter_config.json``; raises IntegrityError when it is no JSON object."""
    file = folder / CONFIG
    try:
        if file.stat().st_size > MAX_CONFIG_BYTES:
            raise IntegrityError(f"{file.name} is larger than {MAX_CONFIG_BYTES} bytes")
        saved = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise IntegrityError(f"{file.name} cannot be read: {first_line(error)}") from error
    if not isinstance(saved, dict):
        raise IntegrityError(f"{file.name} is no JSON object")
    return saved


def read_state(folder: Path) -> State:
    """Read an adapter's weights; raises IntegrityError for a file that is absent or broken."""
    try:
        state: State = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise IntegrityError(
            f"{WEIGHTS} cannot be read: {first_line(error)}",
            hint="pickled weights (.bin) are never read: save the adapter with safetensors",
        ) from error
    return state


def put_state(model: Any, state: State, adapter: str = "default") -> None:
    """Put saved weights into a wrapped model; raises IntegrityError unless they fit exactly."""
    require_fit(peft_state(model, adapter), state)
    try:
        with quiet_peft():
            set_peft_model_state_dict(model, state, adapter_name=adapter)
    except PEFT_ERRORS as error:
        raise IntegrityError(f"{WEIGHTS} does not fit: {first_line(error)}") from error


def require_fit(expected: State, state: State) -> None:
    """Raise IntegrityError unless saved weights have the expected names and shapes."""
    missing, unexpected = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected)
    if missing or unexpected:
        verb, names = ("lacks", missing) if missing else ("has unexpected", unexpected)
        raise IntegrityError(
            f"{WEIGHTS} {verb} {len(names)} tensors, the first {names[0]!r}",
            hint="it was trained on another base, or with another head",
        )
    for name, tensor in state.items():
        if tensor.shape != expected[name].shape:
            shapes = f"{tuple(tensor.shape)}, not {tuple(expected[name].shape)}"
            raise IntegrityError(f"{name!r} in {WEIGHTS} has the shape {shapes}")


def saved_heads(base: LoadedBase, state: State) -> tuple[str, ...]:
    """Return the new modules that an adapter holds.

    Raises IntegrityError when its head is not among them. A pooler may be absent: a base whose
    files hold one keeps it in adapters that other tools wrote.
    """
    held = tuple(name for name in base.new if _holds(state, name, base))
    lacking = [name for name in base.new if "." not in name and name not in held]
    if lacking:
        raise IntegrityError(
            f"the adapter holds no weights of the head's layer {lacking[0]!r}",
            hint="it was trained for another task",
        )
    return held


def _holds(state: State, name: str, base: LoadedBase) -> bool:
    """Say whether a module's every parameter is there: an adapter may have its biases alone."""
    own = [f".{name}.{part}" for part, _ in base.model.get_submodule(name).named_parameters()]
    return all(any(f".{key}".endswith(part) for key in state) for part in own)


def _plain(value: Any) -> Any:
    """Return what JSON can hold; sets in a fixed order, since PEFT would write them in any."""
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    return getattr(value, "value", value)
