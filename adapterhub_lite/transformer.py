"""Load a transformer and its tokenizer from a folder: no pickle, no remote code, no noise."""

import inspect
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.architecture import read_headers
from adapterhub_lite.errors import BaseModelError, CapabilityError
from adapterhub_lite.plugins import one_line
from adapterhub_lite.protocols import LoadedBase

if TYPE_CHECKING:
    import torch


def load_transformer(folder: Path, dtype: "torch.dtype", device: str) -> LoadedBase:
    """Load the bare transformer (no task head) in evaluation mode.

    ``device`` is "cpu", "cuda", or "auto", which takes a GPU when there is one. Raises
    CapabilityError for a device that is not there, and BaseModelError when a tensor that the
    architecture needs is missing from the files: transformers would fill it with random numbers
    and only warn.
    """
    place = _present_device(device)
    from safetensors import SafetensorError
    from transformers import AutoModel, AutoTokenizer

    with quiet_transformers():
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            model, report = AutoModel.from_pretrained(
                folder,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                **_without_absent_pooler(folder),
            )
        except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
            raise BaseModelError(
                f"{folder.name!r} cannot be loaded: {one_line(error)}",
                ref=str(folder),
            ) from error
    if not len(tokenizer) > len(tokenizer.all_special_tokens):
        # Without files transformers makes a tokenizer up, to which every word is unknown.
        raise BaseModelError(
            f"{folder.name!r} has no tokenizer",
            ref=str(folder),
            hint="put tokenizer.json and tokenizer_config.json beside the weights",
        )
    missing = sorted(report["missing_keys"])
    if missing:
        raise BaseModelError(
            f"{folder.name!r} lacks {len(missing)} of its tensors, the first {missing[0]!r}",
            ref=str(folder),
            hint="download or save the model again",
        )
    return LoadedBase(model.to(place).eval(), tokenizer, folder)


def _present_device(device: str) -> str:
    import torch

    has_gpu = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if has_gpu else "cpu"
    if device == "cuda" and not has_gpu:
        raise CapabilityError("there is no CUDA device here", hint="use the device cpu, or auto")
    return device


def _without_absent_pooler(folder: Path) -> dict[str, Any]:
    """Leave out a pooler that the files do not hold: it would be random, and nobody uses it."""
    from transformers import MODEL_MAPPING, AutoConfig

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    model_class = MODEL_MAPPING.get(type(config), None)
    takes_option = (
        model_class is not None
        and "add_pooling_layer" in inspect.signature(model_class.__init__).parameters
    )
    has_pooler = any("pooler." in name for name in read_headers(folder, folder.name))
    return {"add_pooling_layer": False} if takes_option and not has_pooler else {}


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' bars and load reports: what matters of them is checked here."""
    from transformers.utils import logging as transformers_logging

    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


def layer_stack(model: "torch.nn.Module") -> tuple[str, "torch.nn.ModuleList"]:
    """Return the name and the list of a transformer's layers.

    Raises BaseModelError when no list has as many entries as the config has layers.
    """
    from torch.nn import ModuleList

    count = getattr(model.config, "num_hidden_layers", None)
    for name, module in model.named_modules():
        if isinstance(module, ModuleList) and len(module) == count:
            return name, module
    kind = getattr(model.config, "model_type", type(model).__name__)
    raise BaseModelError(
        f"the layers of a {kind!r} model were not found",
        ref=str(kind),
        hint="train the whole model instead: layers: all",
    )
