"""A LoRA that AdapterHub's ``adapters`` wrote becomes an adapter of PEFT's form, and so a version.

The tensors are renamed, and read as a stranger's PEFT folder is: with the same checks of header,
shapes and values. Other methods are refused: Pfeiffer's bottleneck reads what the layer norm gives,
where ours reads the projection, and a prefix counts as no positions, where PEFT's does.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import file_digest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file

from adapterhub_lite.deployment.model_folders import read_json
from adapterhub_lite.deployment.untrusted import check_header, copy_file, exists
from adapterhub_lite.errors import BaseModelError, CapabilityError
from adapterhub_lite.isolation.weights import convert_weights
from adapterhub_lite.protocols import ImportOptions
from adapterhub_lite.tuners.files import CONFIG, MAX_CONFIG_BYTES, WEIGHTS
from adapterhub_lite_peft.importing import LARGEST, PeftImporter

ADAPTER: Final = ("adapter.safetensors", "pytorch_adapter.bin")
HEAD: Final = ("model_head.safetensors", "pytorch_model_head.bin")
HEAD_CONFIG: Final = "head_config.json"
PLAIN: Final[Mapping[str, Any]] = {
    "architecture": "lora",
    "composition_mode": "add",
    "use_gating": False,
    "use_dora": False,
    "bias": False,
}
"""What a LoRA has to say of itself, where it says it, to be LoRA as everybody has it."""
HEADS: Final[Mapping[str, tuple[str, str, tuple[str, ...]]]] = {
    "bert": ("bert.pooler.dense", "classifier", ("pooler", "classifier")),
    "roberta": ("classifier.dense", "classifier.out_proj", ("classifier",)),
}
"""Model type → the modules that are a head of two layers with tanh, and what PEFT saves of them."""
BODIES: Final[Mapping[str, str]] = {
    "bert": "bert",
    "roberta": "roberta",
    "llama": "model",
    "mistral": "model",
}
"""Model type → what the transformer is called within a model with a head, by both libraries."""
_FACTOR: Final = re.compile(
    r"(?P<module>[\w.]{1,300})\.loras\.(?P<name>.{1,200})\.lora_(?P<end>[AB])"
)

State = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class _ForeignHead:
    """A head's tensors by PEFT's names, which modules they are, and the labels it tells."""

    state: State = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


class AdaptersImporter:
    """Reads the LoRA that ``save_adapter`` of the ``adapters`` library wrote, and its head."""

    def read(self, source: Path, destination: Path, options: ImportOptions) -> Mapping[str, Any]:
        """Write an adapter's files into ``destination``; return the manifest fields.

        Raises BaseModelError for a folder that is no such adapter or not of the base, and
        CapabilityError for one that is not supported, or pickled without ``options.convert``.
        """
        ref = str(source)
        if not source.is_dir():
            raise BaseModelError(f"there is no folder {source}", ref=ref)
        with TemporaryDirectory() as work, _refusing_nonsense(ref):
            staged = Path(work) / source.resolve().name
            staged.mkdir()
            weights = _stage(source, ADAPTER, staged, options.convert)
            copy_file(source, CONFIG, MAX_CONFIG_BYTES, staged)
            config = read_json(staged / CONFIG, ref)
            head = _read_head(source, staged, config, options)
            if head.labels and not options.labels:
                options = replace(options, labels=head.labels)
            spec = options.find_objective("classification" if head.state else None)
            translated = staged / "peft"
            _translate(config, load_file(weights), head, spec.head == "none", translated)
            with weights.open("rb") as stream:
                digest = file_digest(stream, "sha256").hexdigest()
            PeftImporter().read(translated, destination, options)
            return {
                "hyperparameters": {
                    "imported_from": "adapters",
                    "adapters": str(config.get("version", "unknown"))[:60],
                    "source": {"folder": source.resolve().name, "weights_sha256": digest},
                }
            }


@contextmanager
def _refusing_nonsense(ref: str) -> Iterator[None]:
    """Say of configs whose values have the wrong types that they are none."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BaseModelError(f"the configs of {ref} do not make sense: {error}", ref=ref) from error


def _stage(source: Path, names: tuple[str, str], staged: Path, allowed: bool) -> Path:
    """Copy weights, or convert them in isolation; return the safetensors, their header judged."""
    ref, (safe, pickled) = str(source), names
    if exists(source / safe):
        copy_file(source, safe, LARGEST, staged)
    elif not exists(source / pickled):
        raise BaseModelError(
            f"{ref} is no adapter of AdapterHub: it has neither {safe} nor {pickled}",
            ref=ref,
            hint="give a folder that save_adapter wrote",
        )
    elif not allowed:
        raise CapabilityError(
            f"{pickled} is a pickle, and loading a pickle runs whatever is in it",
            hint="add --convert-pickle: its numbers are read by an isolated process, and nothing "
            "in it is run",
        )
    else:
        copy_file(source, pickled, LARGEST, staged)
        convert_weights(staged / pickled, staged / safe, ref)
    check_header(staged / safe, ref)
    return staged / safe


def _read_head(
    source: Path, staged: Path, config: Mapping[str, Any], options: ImportOptions
) -> _ForeignHead:
    """Read the head, none where there is none; raises CapabilityError for one that we lack."""
    if not any(exists(source / name) for name in HEAD):
        return _ForeignHead()
    copy_file(source, HEAD_CONFIG, MAX_CONFIG_BYTES, staged)
    told = read_json(staged / HEAD_CONFIG, str(source))["config"]
    wanted = {"head_type": "classification", "layers": 2, "activation_function": "tanh"}
    plain = not told.get("use_pooler") and all(told.get(k) == v for k, v in wanted.items())
    modules = HEADS.get(str(config.get("model_type")))
    if modules is None or not plain:
        raise CapabilityError(
            f"the head ({told.get('head_type')!r} on {config.get('model_type')!r}) has no equal in "
            "transformers",
            hint="a classification head of two layers with tanh, on bert or roberta, has one",
        )
    first, last, saved = modules
    weights = load_file(_stage(source, HEAD, staged, options.convert))
    state = {}
    for name, tensor in weights.items():
        _, number, end = name.rsplit(".", 2)
        state[f"base_model.model.{ {'1': first, '4': last}[number] }.{end}"] = tensor
    numbered = sorted((number, label) for label, number in (told.get("label2id") or {}).items())
    return _ForeignHead(state, saved, tuple(label for _, label in numbered))


def _translate(
    config: Mapping[str, Any], state: State, head: _ForeignHead, bare: bool, folder: Path
) -> None:
    """Write the adapter as PEFT would; ``bare``: for a transformer without a head.

    Raises CapabilityError for what is no plain LoRA, or of a model type that is not known.
    """
    method, body = config["config"], BODIES.get(str(config.get("model_type")))
    other = next((key for key, value in PLAIN.items() if method.get(key, value) != value), None)
    if other or body is None:
        what = f"{other} = {method[other]!r}" if other else f"a {config.get('model_type')!r} model"
        raise CapabilityError(
            f"the adapter has {what}, which computes otherwise than what there is here",
            hint=f"LoRA is imported, on {', '.join(BODIES)}; train others again",
        )
    factors: State = {}
    targets, ranks = set(), set()
    for name, tensor in state.items():
        found = _FACTOR.fullmatch(name)
        if found is None or found["name"] != config["name"] or tensor.dim() != 2:
            raise CapabilityError(f"{name[:100]!r} is no factor of a LoRA")
        module = found["module"].removeprefix(f"{body}.")
        start = "" if bare else f"{body}."
        factors[f"base_model.model.{start}{module}.lora_{found['end']}.weight"] = tensor
        targets.add(module)
        ranks.add(tensor.shape[0 if found["end"] == "A" else 1])
    if ranks != {method["r"]}:
        raise CapabilityError(f"the adapter says the rank {method['r']}, and has {sorted(ranks)}")
    written = {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS" if head.state else None,
        "base_model_name_or_path": config.get("model_name"),
        "r": method["r"],
        "lora_alpha": method["alpha"],
        "target_modules": sorted(targets),
        "modules_to_save": list(head.modules) or None,
    }
    folder.mkdir()
    (folder / CONFIG).write_text(json.dumps(written), encoding="utf-8")
    save_file({**factors, **head.state}, folder / WEIGHTS)
