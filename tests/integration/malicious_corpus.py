"""Folders and archives that mean harm, each to be refused; a program, that memory can be limited.

``python -m tests.integration.malicious_corpus DIR`` imports every one in turn and prints, as JSON,
what became of each. The process may take 256 MiB of address space more than it has once the
libraries are loaded and good folders of each kind were imported.
"""

import json
import os
import pickle
import resource
import shutil
import struct
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tests.integration.malicious_archives import archives

ROOM = 256 * 2**20
KINDS = {"alone": "adapter"}
"""Which good folder another one is made of, and imported otherwise."""
Edit = Callable[[Path], Any]


class Attack:
    """Writes the canary when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.canary,)


def json_edit(name: str, **values: Any) -> Edit:
    def edit(folder: Path) -> None:
        file = folder / name
        file.write_text(json.dumps({**json.loads(file.read_text()), **values}))

    return edit


def content(name: str, data: bytes) -> Edit:
    return lambda folder: (folder / name).write_bytes(data)


def header(name: str, text: str, room: int = 64) -> Edit:
    return content(name, struct.pack("<Q", len(text)) + text.encode() + bytes(room))


def tensors(name: str, change: Callable[[dict[str, torch.Tensor]], None]) -> Edit:
    def edit(folder: Path) -> None:
        state = load_file(folder / name)
        change(state)
        save_file(state, folder / name, metadata={"format": "pt"})

    return edit


def spoil(value: float) -> Callable[[dict[str, torch.Tensor]], None]:
    def change(state: dict[str, torch.Tensor]) -> None:
        # where a model has one, of a token that no probe of its answers reads
        name = next((name for name in state if "word_embeddings" in name), min(state))
        state[name].view(-1)[-1] = value

    return change


def link(name: str, target: Path) -> Edit:
    def edit(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)

    return edit


def pipe(name: str) -> Edit:
    def edit(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return edit


def pickled(canary: Path) -> Edit:
    def edit(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        torch.save({"a": Attack(canary)}, folder / "pytorch_model.bin")

    return edit


def entries(count: int) -> str:
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    return json.dumps({f"t{number}": entry for number in range(count)})


def one(**changed: Any) -> str:
    return json.dumps({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16], **changed}})


TWICE = one()[:-1] + "," + one()[1:]
HEADERS = {
    "a header of 5 MiB": " " * (5 * 2**20),
    "a header that names a tensor twice": TWICE,
    "an empty dimension": one(shape=[0, 2**62], data_offsets=[0, 0]),
    "a shape beyond the file": one(shape=[2**62]),
    "bytes beyond the file": one(shape=[2**30], data_offsets=[0, 2**32]),
    "shared bytes": entries(2),
    "too many tensors": entries(20_001),
    "a nested header": "[" * 200_000,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "a million layers": {"num_hidden_layers": 10**6},
    "layers beyond the files": {"num_hidden_layers": 900},
    "ten million labels": {"num_labels": 10**7, "id2label": None},
    "a width of 2**30": {"hidden_size": 2**30},
    "a vocabulary beyond the files": {"vocab_size": 2**24},
    "positions beyond the files": {"max_position_embeddings": 2**24},
    "code of its own": {"model_type": "mine", "auto_map": {"AutoConfig": "evil.Config"}},
    "labels that are one": {"id2label": {"0": "a", "1": "a", "2": "a"}},
    "labels that are code": {"id2label": ["__import__('os')"]},
    "no numbers": {"hidden_size": "32"},
    "quantised weights": {"quantization_config": {"quant_method": "bitsandbytes"}},
}
ADAPTERS: dict[str, dict[str, Any]] = {
    "a rank of two million": {"r": 2_000_000},
    "a rank of two million in a pattern": {"rank_pattern": {"query": 2_000_000}},
    "a regex in target_modules": {"target_modules": "(((.+)+)+)+!"},
    "an unknown method": {"peft_type": "EVIL"},
    "megatron": {"megatron_config": {"a": 1}, "megatron_core": "evil.core"},
}


def folders(place: Path, canary: Path) -> Iterator[tuple[str, str, Edit]]:
    """Yield what is done to which good folder."""
    attack = pickle.dumps(Attack(canary))
    names = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    names += ["model.safetensors.index.json"]
    for name in names:
        yield f"a pickle as {name}", "model", content(name, attack)
        yield f"a link as {name}", "model", link(name, place / "secret")
    for name in ("config.json", "model.safetensors"):
        yield f"a pipe as {name}", "model", pipe(name)
    yield "a pickle as model_head.pkl", "setfit", content("model_head.pkl", attack)
    path = json_edit("adapter_config.json", base_model_name_or_path="../../etc")
    yield "a base that is a path", "alone", path
    yield "pickled weights", "model", pickled(canary)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        yield f"a pickle as {name}", "adapter", content(name, attack)
        yield f"a link as {name}", "adapter", link(name, place / "secret")
    for what, text in HEADERS.items():
        yield f"{what} in a model", "model", header("model.safetensors", text)
        yield f"{what} in an adapter", "adapter", header("adapter_model.safetensors", text)
    for what, values in CONFIGS.items():
        yield f"a config with {what}", "model", json_edit("config.json", **values)
    for what, values in ADAPTERS.items():
        yield f"an adapter with {what}", "adapter", json_edit("adapter_config.json", **values)
    outside = json.dumps({"weight_map": {"a": "../../secret"}}).encode()
    yield "an index that leads outside", "model", content("model.safetensors.index.json", outside)
    for value in (float("nan"), float("inf")):
        yield f"{value} in a model", "model", tensors("model.safetensors", spoil(value))
        yield (
            f"{value} in an adapter",
            "adapter",
            tensors("adapter_model.safetensors", spoil(value)),
        )
    drop = lambda state: state.pop(sorted(state)[0])  # noqa: E731
    yield "a lost tensor", "model", tensors("model.safetensors", drop)
    yield "a lost factor", "adapter", tensors("adapter_model.safetensors", drop)
    bare = lambda state: [state.pop(key) for key in list(state) if "classifier" in key]  # noqa: E731
    yield "a lost head", "model", tensors("model.safetensors", bare)


def good(place: Path) -> None:
    """Write the good folders that the others are made of."""
    import peft
    import transformers

    from adapterhub_lite.pooling import Pooling, write_pooling
    from adapterhub_lite.testing import write_tiny_model
    from adapterhub_lite.transformer import quiet_transformers

    write_tiny_model(place / "base")
    write_tiny_model(place / "other", num_hidden_layers=4)
    with quiet_transformers(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classes = transformers.AutoModelForSequenceClassification
        model = classes.from_pretrained(place / "base", num_labels=3)
        model.save_pretrained(place / "model")
        tokenizer = transformers.AutoTokenizer.from_pretrained(place / "base")
        tokenizer.save_pretrained(place / "model")
        config = peft.LoraConfig(task_type="SEQ_CLS", target_modules=["query"])
        peft.get_peft_model(model, config).save_pretrained(place / "adapter")
    shutil.copytree(place / "model", place / "setfit")
    write_pooling(Pooling(), 32, place / "setfit")
    (place / "secret").write_bytes(b"what a link leads to")


def cpu_seconds() -> float:
    """Return what this process and those that it waited for have computed."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main(place: Path) -> None:
    """Import the whole corpus, and print what became of each part."""
    from adapterhub_lite import api
    from adapterhub_lite.deployment import ImportChoices, import_folder
    from adapterhub_lite.errors import AdapterHubError
    from adapterhub_lite.plugins import get_catalogue

    good(place)
    canary, registry = place / "canary", api.open_registry(place / "home")
    catalogue = get_catalogue(first_party_only=True)
    base = {"adapter": str(place / "base"), "wrong": str(place / "other")}
    found: dict[str, str] = {}
    cpu: dict[str, float] = {}

    def attempt(what: str, source: Path, kind: str, convert: bool = False) -> None:
        began = cpu_seconds()
        found[what] = outcome(source, kind, convert)
        cpu[what] = cpu_seconds() - began

    def outcome(source: Path, kind: str, convert: bool) -> str:
        choices = ImportChoices(base=base.get(kind), convert=convert)
        try:
            import_folder(source, "victim", None, registry, catalogue, choices=choices)
        except AdapterHubError as error:
            return f"refused: {error.message}"
        except BaseException as error:
            return f"raised {type(error).__name__}: {error}"
        return "imported"

    for kind in ("model", "adapter"):
        attempt(f"a good {kind}", place / kind, kind)
    cpu.clear()
    (place / "archives").mkdir()
    packed = list(archives(place / "archives"))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
    began = time.perf_counter()
    for what, kind, edit in folders(place, canary):
        shutil.copytree(place / KINDS.get(kind, kind), place / "source")
        edit(place / "source")
        attempt(what, place / "source", kind)
        if "pickle" in what and kind in ("model", "setfit"):
            attempt(f"{what}, to be converted", place / "source", kind, convert=True)
        shutil.rmtree(place / "source")
    attempt("the wrong base", place / "adapter", "wrong")
    for what, file in packed:
        attempt(what, file, "model")
    json.dump(
        {
            "found": found,
            "canary": canary.exists(),
            "escaped": [str(file) for file in place.parent.rglob("escaped*")],
            "seconds": time.perf_counter() - began,
            "slowest": sorted(((took, what) for what, took in cpu.items()), reverse=True)[:5],
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
