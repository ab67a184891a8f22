"""The JSON files of strangers' adapters and models, as each importer reads them."""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from safetensors.numpy import save

from adapterhub_lite.deployment.choices import MAX_LABELS, ImportChoices, import_options
from adapterhub_lite.deployment.model_folders import read_model_config
from adapterhub_lite.errors import UserError
from adapterhub_lite.inference.artifact import read_info
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.protocols import ImportOptions
from adapterhub_lite.specs import ResolvedBase
from adapterhub_lite_full.foreign_head import objective_of, read_head
from adapterhub_lite_peft.files import read_params
from adapterhub_lite_peft.generate import OWNED
from adapterhub_lite_peft.params import params_model
from adapterhub_lite_peft.table import ENTRIES
from adapterhub_lite_registry import Registry
from adapterhub_lite_setfit.foreign import read_settings
from adapterhub_lite_setfit.head import load_head
from tests.stress.fuzzing import Attempt, Target
from tests.stress.mutations import encode, mutate_bytes, mutate_json

Read = Callable[[Path], None]
Document = dict[str, Any]
CATALOGUE = get_catalogue(first_party_only=True)
MOST_LAYERS = 900
LARGEST_EXACT = 2**53

SENTENCES: Document = {"max_seq_length": 128, "do_lower_case": False}
MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]
MODEL: Document = {
    "architectures": ["BertForSequenceClassification"], "model_type": "bert", "hidden_size": 32,
    "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 99, "intermediate_size": 37,
    "id2label": {"0": "a", "1": "b"}, "label2id": {"a": 0, "b": 1}, "problem_type": None,
}  # fmt: skip
LORA: Document = {
    "config": {"architecture": "lora", "r": 2, "alpha": 4, "composition_mode": "add"},
    "model_type": "bert", "model_name": "org/base", "name": "mine", "version": "adapters.1.3.0",
}  # fmt: skip
HEAD_CONFIG: Document = {
    "config": {"head_type": "classification", "layers": 2, "activation_function": "tanh",
               "label2id": {"a": 0, "b": 1}},
}  # fmt: skip
INFO: Document = {
    "task": "text-classification", "method": "lora", "objective": "classification",
    "loader": "fp32", "loader_params": {}, "composition": None, "origins": [],
    "head": {"kind": "sequence-classification", "labels": ["a", "b"]},
    "base": {"ref": "org/base", "fingerprint": {"config": "0" * 64, "weights": "1" * 64}},
}  # fmt: skip


def weights(names: Mapping[str, tuple[int, ...]]) -> bytes:
    return bytes(save({name: np.ones(shape, np.float32) for name, shape in names.items()}))


FOREIGN = "bert.encoder.layer.0.attention.self.query.loras.mine.lora_"
OTHERS: Mapping[str, bytes] = {
    "peft/adapter_model.safetensors": weights({"base_model.model.query.lora_A.weight": (2, 32)}),
    "adapters/adapter.safetensors": weights({f"{FOREIGN}A": (2, 32), f"{FOREIGN}B": (32, 2)}),
    "adapters/model_head.safetensors": weights({
        "heads.mine.1.weight": (4, 4), "heads.mine.1.bias": (4,),
        "heads.mine.4.weight": (2, 4), "heads.mine.4.bias": (2,),
    }),
    "setfit/head.safetensors": save({"coef": np.ones((1, 32)), "intercept": np.ones(1)}),
}  # fmt: skip
"""What lies beside the config that is fuzzed."""
DOCUMENTS: Mapping[str, Any] = {
    "adapters/adapter_config.json": LORA,
    "adapters/head_config.json": HEAD_CONFIG,
    "model/config.json": MODEL,
    "setfit/config.json": MODEL,
    "setfit/modules.json": MODULES,
    "setfit/sentence_bert_config.json": SENTENCES,
    "setfit/config_sentence_transformers.json": {"prompts": {}, "default_prompt_name": None},
    "setfit/1_Pooling/config.json": {
        "word_embedding_dimension": 32, "pooling_mode_mean_tokens": True
    },
    "setfit/config_setfit.json": {"labels": ["a", "b"], "normalize_embeddings": False},
    "setfit/head.json": {
        "kind": "logistic", "classes": ["a", "b"], "link": "softmax", "n_features": 32
    },
    "ours/adapterhub.json": INFO,
}  # fmt: skip


def peft_configs() -> list[str]:
    """Return the config that PEFT writes of each method that it can make without a model."""
    found = []
    for peft_type in sorted(ENTRIES):
        config = PEFT_TYPE_TO_CONFIG_MAPPING.get(peft_type)  # type: ignore[call-overload]
        if config is None:
            continue
        known = {field.name for field in fields(config)}
        told = {
            key: value
            for key, value in params_model(peft_type)().model_dump().items()
            if key in known
        }
        told |= {
            "peft_type": peft_type,
            "task_type": "SEQ_CLS",
            "target_modules": ["query", "value"],
        }
        told |= {"base_model_name_or_path": "org/base", "inference_mode": True, "revision": None}
        found.append(json.dumps({key: value for key, value in told.items() if key in known}))
    return found


def is_written(place: str, text: str) -> bytes:
    return f"{place}\0{text}".encode("utf-8", "surrogatepass")


def make_config(rng: random.Random) -> bytes:
    if rng.random() < 0.5:
        place, text = "peft/adapter_config.json", rng.choice(PEFT)
    else:
        place = rng.choice(sorted(DOCUMENTS))
        text = json.dumps(DOCUMENTS[place])
    data = encode(mutate_json(text, rng), rng)
    if rng.random() < 0.1:
        data = mutate_bytes(data, rng)
    return place.encode() + b"\0" + data


class FarEnoughError(UserError):
    """What comes after the configs is not tried here."""


def find_base(ref: str | None) -> ResolvedBase:
    assert ref is None or isinstance(ref, str)
    raise FarEnoughError("the configs were read")


def options_of(form: str, place: Path) -> ImportOptions:
    """Return what the importer of that form gets of a person who says nothing, and no base."""
    spec, registry = CATALOGUE.importer(form), Registry.open(place / "registry")
    options = import_options(ImportChoices(), spec, registry, CATALOGUE)
    return replace(options, find_base=find_base)


def reader(form: str, place: Path) -> Read:
    """Return how an importer reads a folder, up to where it needs the base."""
    importer = CATALOGUE.implementation(CATALOGUE.importer(form))
    options = options_of(form, place)

    def read(folder: Path) -> None:
        with suppress(FarEnoughError):
            importer.read(folder, place / "out", options)

    return read


def whole_numbers(value: Any) -> Iterator[int]:
    """Yield every whole number in it."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from whole_numbers(inner)
    elif isinstance(value, int):
        yield value


def check_params(told: Mapping[str, Any], folder: Path) -> None:
    """Fail unless what was read of PEFT's config is plain, bearable, and names no code."""
    params = read_params(folder).model_dump()
    assert all(abs(number) <= LARGEST_EXACT for number in whole_numbers(params))
    json.dumps(params)
    hidden = told.keys() - params.keys() - OWNED
    assert not any(told[key] for key in hidden if "megatron" in key or "auto_map" in key)


def read_setfit(folder: Path) -> None:
    """Read what a SetFit folder says, as its importer does before it loads the encoder."""
    settings = read_settings(folder, "here")
    assert all(isinstance(label, str) for label in settings.labels)
    head = load_head(folder)
    assert len(head.classes) >= len(head.coef) == len(head.intercept)


def read_ours(folder: Path) -> None:
    """Read what a version says of how to load it."""
    info = read_info(folder)
    json.dumps(asdict(info))
    assert all(isinstance(name, str) for name in info.parts.values())


def prepare_config(place: Path) -> Attempt:
    """Write a good folder of each kind; an attempt replaces one file of one."""
    good, options = place / "good", options_of("hf", place)
    contents = {name: json.dumps(told).encode() for name, told in DOCUMENTS.items()}
    contents |= {**OTHERS, "peft/adapter_config.json": PEFT[0].encode()}
    for name, content in contents.items():
        (good / name).parent.mkdir(parents=True, exist_ok=True)
        (good / name).write_bytes(content)
    until_the_base = reader("peft", place)

    def read_peft(folder: Path) -> None:
        until_the_base(folder)
        check_params(json.loads((folder / "adapter_config.json").read_bytes()), folder)

    def read_model(folder: Path) -> None:
        config = read_model_config(folder, "here", MOST_LAYERS)
        head = read_head(config, objective_of(folder, config, options), options, "here")
        assert len(set(head.labels)) == len(head.labels) <= MAX_LABELS

    readers: Mapping[str, Read] = {
        "peft": read_peft,
        "adapters": reader("adapters", place),
        "setfit": read_setfit,
        "model": read_model,
        "ours": read_ours,
    }

    def attempt(data: bytes, work: Path) -> None:
        place, _, content = data.partition(b"\0")
        name = place.decode()
        kind = name.partition("/")[0]
        (good / name).write_bytes(content)
        try:
            readers[kind](good / kind)
        finally:
            (good / name).write_bytes(contents[name])

    return attempt


PEFT = peft_configs()
EXAMPLES = (
    *(is_written("peft/adapter_config.json", text) for text in PEFT),
    *(is_written(place, json.dumps(told)) for place, told in DOCUMENTS.items()),
    is_written("setfit/head.json", "[" * 5_000),
    is_written("setfit/modules.json", "[" * 5_000),
    is_written("adapters/head_config.json", "[]"),
    is_written("peft/adapter_config.json", '{"peft_type":"LORA","base_model_name_or_path":5}'),
    is_written("peft/adapter_config.json", '{"peft_type":"LORA","lora_alpha":1%s}' % ("0" * 460)),
)
TARGETS = (Target("config", make_config, prepare_config, EXAMPLES),)
