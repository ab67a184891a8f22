"""Load a transformer and its tokenizer from a folder: no pickle, no remote code, no noise."""

import inspect
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.architecture import HEAD_TABLES, read_headers
from adapterhub_lite.errors import BaseModelError, CapabilityError
from adapterhub_lite.heads import (
    NEW_LAYERS,
    auto_class,
    head_config,
    new_modules,
    other_prefix,
    renew_foreign_head,
)
from adapterhub_lite.plugins import one_line
from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite.specs import Head

if TYPE_CHECKING:
    import torch


def load_transformer(
    folder: Path,
    head: Head,
    dtype: "torch.dtype",
    device: str,
    *,
    attention: str = "sdpa",
    quantisation: Any = None,
) -> LoadedBase:
    """Load the model class that ``head`` names, and the tokenizer, in evaluation mode.

    New layers are drawn from torch's global generator. ``device`` is "cpu", "cuda", or "auto",
    which takes a GPU when there is one; ``attention`` "sdpa" is "eager" where the architecture
    has no sdpa; ``quantisation`` is a transformers quantisation config. Raises CapabilityError for
    a device that is not there or an architecture without such a head, and BaseModelError for files
    that are quantised already, or that lack a tensor which the architecture needs: transformers
    would fill it with random numbers and only warn.
    """
    place = present_device(device)
    from safetensors import SafetensorError
    from transformers import AutoTokenizer

    model_class = auto_class(head.kind)
    with quiet_transformers():
        try:
            stored = _stored_config(folder, head)
            tokenizer = AutoTokenizer.from_pretrained(
                folder, config=stored, trust_remote_code=False
            )
            _set_padding(tokenizer)
            model, report = model_class.from_pretrained(
                folder,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                # Asked for by name, transformers refuses DeBERTa and MPNet, which have no sdpa.
                attn_implementation=None if attention == "sdpa" else attention,
                ignore_mismatched_sizes=head.kind in NEW_LAYERS,
                **({"quantization_config": quantisation} if quantisation is not None else {}),
                **({"device_map": {"": place}} if quantisation is not None else {}),
                **head_config(head),
                **_without_absent_pooler(folder, stored, head),
                **other_prefix(stored, model_class),
            )
        except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
            raise BaseModelError(
                f"{folder.name!r} cannot be loaded: {one_line(error)}",
                ref=str(folder),
            ) from error
    _require_tokenizer(tokenizer, folder)
    new = new_modules(model, head)
    _refuse_missing(report, new, folder)
    renew_foreign_head(model, new, head, stored, report)
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    if quantisation is None:
        model = model.to(place)
    return LoadedBase(
        model.eval(),
        tokenizer,
        folder,
        head,
        new,
        quantisation is not None,
        tuple(sorted(report["missing_keys"])),
    )


def _stored_config(folder: Path, head: Head) -> Any:
    """Read the config; refuse files that are quantised, and a head that the architecture lacks."""
    from transformers import AutoConfig
    from transformers.models.auto import modeling_auto

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    stored = getattr(config, "quantization_config", None)
    if stored:
        raise BaseModelError(
            f"{folder.name!r} is stored quantised, by {stored.get('quant_method', 'somebody')!r}",
            ref=str(folder),
            hint="use the model it was made from; the loaders nf4 and int8 quantise as they load",
        )
    if config.model_type not in getattr(modeling_auto, HEAD_TABLES[head.kind]):
        raise CapabilityError(
            f"a {config.model_type!r} model cannot be loaded for {head.kind}",
            hint="use a base of another architecture, or another task",
        )
    return config


def _require_tokenizer(tokenizer: Any, folder: Path) -> None:
    if not len(tokenizer) > len(tokenizer.all_special_tokens):
        # Without files transformers makes a tokenizer up, to which every word is unknown.
        raise BaseModelError(
            f"{folder.name!r} has no tokenizer",
            ref=str(folder),
            hint="put tokenizer.json and tokenizer_config.json beside the weights",
        )


def _refuse_missing(report: Mapping[str, Any], new: tuple[str, ...], folder: Path) -> None:
    """Refuse files that lack, or have in another shape, what is no part of a new head."""
    starts = tuple(f"{name}." for name in new)
    absent = {name for name in report["missing_keys"] if not name.startswith(starts)}
    differing = {entry[0] for entry in report["mismatched_keys"] if not entry[0].startswith(starts)}
    if absent or differing:
        wrong = sorted(absent or differing)
        verb = "lacks" if absent else "has in another shape"
        raise BaseModelError(
            f"{folder.name!r} {verb} {len(wrong)} of its tensors, the first {wrong[0]!r}",
            ref=str(folder),
            hint="download or save the model again; a language model is saved with its head",
        )


def positions(model: "torch.nn.Module") -> int | None:
    """Return how many tokens a transformer has positions for; None where there is no limit.

    RoBERTa's kind counts positions from behind its padding index.
    """
    from torch.nn import Embedding

    for name, module in model.named_modules():
        # within a wrapper, where an adapter replaces the table
        if "position_embeddings" in name and isinstance(module, Embedding):
            unused = 0 if module.padding_idx is None else module.padding_idx + 1
            return int(module.num_embeddings) - unused
    limit = getattr(model.config, "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None


def load_tokenizer(folder: Path) -> Any:
    """Load the tokenizer that a version was trained with; raises BaseModelError without one."""
    from transformers import AutoTokenizer

    with quiet_transformers():
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise BaseModelError(
                f"the tokenizer in {folder.name!r} cannot be loaded: {one_line(error)}",
                ref=str(folder),
            ) from error
    _require_tokenizer(tokenizer, folder)
    _set_padding(tokenizer)
    return tokenizer


def _set_padding(tokenizer: Any) -> None:
    """Give a tokenizer that has no padding token its end token for it: masks hide padding."""
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token


def empty_model(folder: Path, head: Head, device: str = "meta") -> LoadedBase:
    """Return the model that :func:`load_transformer` would, by default on the meta device.

    It has no tokenizer, on that device takes no memory, and is good for counting and matching
    names; on another its weights are random. Raises as :func:`load_transformer` for what the
    config tells, and leaves torch's global generator as it was.
    """
    import torch
    from transformers import AutoConfig

    without_pooler = _without_absent_pooler(folder, _stored_config(folder, head), head)
    with quiet_transformers(), torch.random.fork_rng(devices=[]), torch.device(device):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, **head_config(head))
        model = auto_class(head.kind).from_config(config, **without_pooler)
    return LoadedBase(model.eval(), None, folder, head, new_modules(model, head))


def present_device(device: str) -> str:
    """Return the device to use; raises CapabilityError for one that is not there."""
    import torch

    has_gpu = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if has_gpu else "cpu"
    if device == "cuda" and not has_gpu:
        raise CapabilityError("there is no CUDA device here", hint="use the device cpu, or auto")
    return device


def _without_absent_pooler(folder: Path, config: Any, head: Head) -> dict[str, Any]:
    """Leave out a pooler that the files do not hold: it would be random, and nobody uses it."""
    if head.kind != "none":
        return {}
    from transformers import MODEL_MAPPING

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
    """Return the name and the list of a transformer's layers, of an encoder-decoder the encoder's.

    Raises BaseModelError when no list has as many entries as the config has layers.
    """
    return layer_stacks(model)[0]


def layer_stacks(model: "torch.nn.Module") -> list[tuple[str, "torch.nn.ModuleList"]]:
    """Return every stack of layers by name: one, or an encoder's and a decoder's.

    Raises BaseModelError when no list has as many entries as the config has layers.
    """
    from torch.nn import ModuleList

    config: Any = model.config
    counts = {
        getattr(config, key, None)
        for key in ("num_hidden_layers", "num_decoder_layers", "decoder_layers")
    }
    found: list[tuple[str, ModuleList]] = []
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer, _ in found)
        if isinstance(module, ModuleList) and len(module) in counts and not inside:
            found.append((name, module))
    if found:
        return found
    kind = getattr(model.config, "model_type", type(model).__name__)
    raise BaseModelError(
        f"the layers of a {kind!r} model were not found",
        ref=str(kind),
        hint="train the whole model instead: layers: all",
    )
