"""An adapter that PEFT wrote elsewhere becomes a version of ours, and is believed nothing.

Its two files are copied, judged and read; no other file of the folder is opened. The tensors have
to be those that the method has on this base, told by the base's config, before the base is loaded,
and their numbers finite, which is seen while they are copied.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from peft import get_peft_model_state_dict

from adapterhub_lite.architecture import TensorInfo, read_architecture
from adapterhub_lite.deployment.foreign_adapters import (
    LARGEST,
    held_heads,
    read_head,
    source_of,
    staging,
    write_adapter_info,
)
from adapterhub_lite.deployment.untrusted import check_header, copy_file, exists
from adapterhub_lite.deployment.weights import copy_weights
from adapterhub_lite.errors import BaseModelError, CapabilityError, IntegrityError
from adapterhub_lite.heads import TASK_TYPES
from adapterhub_lite.protocols import Attached, ImportOptions
from adapterhub_lite.specs import Head, HeadKind, ObjectiveSpec, ResolvedBase
from adapterhub_lite.transformer import empty_model, load_transformer
from adapterhub_lite.tuners.files import (
    CONFIG,
    MAX_CONFIG_BYTES,
    WEIGHTS,
    State,
    read_config,
)
from adapterhub_lite.tuners.wrapping import quiet_peft
from adapterhub_lite_peft.config import PREFIXES, PROMPTS
from adapterhub_lite_peft.files import read_params
from adapterhub_lite_peft.method import PeftMethod, wrap_skeleton
from adapterhub_lite_peft.params import PeftParams
from adapterhub_lite_peft.skeleton import undisturbed
from adapterhub_lite_peft.table import ENTRIES

PICKLED: Final = "adapter_model.bin"
OBJECTIVES: Final[Mapping[HeadKind, str]] = {
    "none": "embedding",
    "sequence-classification": "classification",
    "token-classification": "tagging",
    "question-answering": "question-answering",
    "causal-lm": "causal-lm",
    "seq2seq-lm": "seq2seq",
}
"""What an adapter is taken to be for when nobody says."""
PEFT_HEADS: Final = frozenset({"classifier", "score", "qa_outputs"})
"""Modules that PEFT lists whether a base has them or not."""
SPENT: Final = {
    "auto_mapping": None,
    "prompt_tuning_init": "RANDOM",
    "prompt_tuning_init_text": None,
}
"""What a config says of how the adapter began, and which code loads it: both are not needed."""


class PeftImporter:
    """Reads what ``PeftModel.save_pretrained`` wrote, in safetensors."""

    def read(self, source: Path, destination: Path, options: ImportOptions) -> Mapping[str, Any]:
        """Write an adapter's files into ``destination``; return the manifest fields.

        Raises BaseModelError for a folder that is no such adapter or not of the base, and
        CapabilityError for one that is not supported.
        """
        with staging(source) as staged:
            _stage(source, staged)
            tensors = check_header(staged / WEIGHTS, str(source))
            config = _settle(staged, tensors)
            params = read_params(staged)
            _refuse_random_start(params)
            objective = _objective(config, options)
            told = config.get("base_model_name_or_path")
            base = options.find_base(told if isinstance(told, str) else None)
            head = read_head(Path(base.path), objective, tensors, options)
            _check(params, head, base, tensors)
            _write(staged, head, base, destination)
            method = ENTRIES[params.peft_type].name
            write_adapter_info(destination, method, objective, head, base)
            version = str(config.get("peft_version", "unknown"))[:60]
            found = source_of(source, staged / WEIGHTS)
            return {"hyperparameters": {"imported_from": "peft", "peft": version, "source": found}}


def _stage(source: Path, staged: Path) -> None:
    """Copy the two files; raises BaseModelError where they are not there or not as they should."""
    ref = str(source)
    if not exists(source / CONFIG):
        raise BaseModelError(
            f"{ref} is no adapter of PEFT: it has no {CONFIG}",
            ref=ref,
            hint="give a folder that PeftModel.save_pretrained wrote",
        )
    if not exists(source / WEIGHTS):
        pickled = exists(source / PICKLED)
        what = f"its weights are pickled ({PICKLED})" if pickled else f"it has no {WEIGHTS}"
        raise BaseModelError(
            f"{ref} cannot be imported: {what}",
            ref=ref,
            hint="a pickle is never read: load the adapter with PEFT where you trust it, and save "
            "it by save_pretrained(folder, safe_serialization=True)",
        )
    copy_file(source, CONFIG, MAX_CONFIG_BYTES, staged)
    copy_weights(source, WEIGHTS, LARGEST, staged)


def _settle(staged: Path, tensors: Mapping[str, TensorInfo]) -> dict[str, Any]:
    """Take out of the config what says nothing about the weights; return it as it was."""
    config = read_config(staged)
    settled = config | {key: value for key, value in SPENT.items() if key in config}
    listed = config.get("modules_to_save")
    if isinstance(listed, list) and all(isinstance(name, str) for name in listed):
        settled["modules_to_save"] = [
            name
            for name in listed
            if name not in PEFT_HEADS or any(f".{name}." in f".{tensor}" for tensor in tensors)
        ] or None
    (staged / CONFIG).write_text(json.dumps(settled), encoding="utf-8")
    return config


def _refuse_random_start(params: PeftParams) -> None:
    if str(params.model_dump().get("init_lora_weights")).startswith("pissa_niter"):
        raise CapabilityError(
            "the adapter is relative to a random decomposition of its base (pissa_niter), which "
            "cannot be computed again",
            hint="save it with path_initial_model_for_weight_conversion, as plain LoRA",
        )


def _objective(config: Mapping[str, Any], options: ImportOptions) -> ObjectiveSpec:
    """Return what the adapter is for, by the person's word or its task type."""
    kinds = {task_type: kind for kind, task_type in TASK_TYPES.items()}
    task_type = config.get("task_type")
    kind = kinds.get(task_type) if isinstance(task_type, str) else None
    if task_type is not None and kind is None:
        raise CapabilityError(f"the task type {str(task_type)[:60]!r} is not known")
    spec = options.find_objective(None if kind is None else OBJECTIVES[kind])
    if kind is not None and spec.head != kind:
        raise CapabilityError(
            f"the adapter was trained for {kind}, and {spec.name!r} needs {spec.head}",
            hint=f"leave --objective out: it will be {OBJECTIVES[kind]}",
        )
    return spec


def _check(
    params: PeftParams, head: Head, base: ResolvedBase, tensors: Mapping[str, TensorInfo]
) -> None:
    """Compare the tensors with those that the method has on the base, whose weights are not read.

    Raises CapabilityError when the method does not fit, and IntegrityError for other tensors.
    """
    architecture = read_architecture(Path(base.path), base.ref)
    for reason in PeftMethod().check(architecture, head, params):
        raise CapabilityError(f"the adapter does not fit the base {base.ref!r}: {reason}")
    skeleton = empty_model(architecture.folder, head, _device(params))
    named: State = {name: torch.empty(0, device="meta") for name in tensors}
    held = held_heads(skeleton, named, architecture)
    model = wrap_skeleton(replace(skeleton, new=held), params)
    with quiet_peft():
        expected = get_peft_model_state_dict(model, save_embedding_layers=False)
    _compare({name: tuple(tensor.shape) for name, tensor in expected.items()}, tensors)


def _device(params: PeftParams) -> str:
    """Return where the method can be laid out: some compute on weights what they save."""
    computes = params.peft_type in PREFIXES | PROMPTS or ENTRIES[params.peft_type].needs_weights
    return "cpu" if computes else "meta"


def _compare(expected: Mapping[str, tuple[int, ...]], tensors: Mapping[str, TensorInfo]) -> None:
    missing, unexpected = sorted(expected.keys() - tensors), sorted(tensors.keys() - expected)
    if missing or unexpected:
        verb, names = ("lacks", missing) if missing else ("has unexpected", unexpected)
        raise IntegrityError(
            f"{WEIGHTS} {verb} {len(names)} tensors, the first {names[0]!r}",
            hint="it was trained on another base, or with another head: see --base, --objective",
        )
    for name, info in tensors.items():
        if info.shape != expected[name]:
            raise IntegrityError(
                f"{name!r} in {WEIGHTS} has the shape {info.shape}, and on this base it would be "
                f"{expected[name]}",
                hint="give the base that it was trained on: --base REF",
            )


def _write(staged: Path, head: Head, base: ResolvedBase, destination: Path) -> None:
    """Write the adapter as its method does after training: no file of the source is taken over."""
    method = PeftMethod()
    with undisturbed():
        loaded = load_transformer(Path(base.path), head, torch.float32, "cpu")
    adapted = method.load(loaded, staged)
    nothing: frozenset[str] = frozenset()
    attached = Attached(adapted.model, adapted.tokenizer, adapted.path, nothing, head)
    method.save(attached, destination)
