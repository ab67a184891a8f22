"""Model and adapter folders whose weights are pickled become folders of safetensors.

The pickle is read by a process of its own, under limits, and nothing in it is run.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from filelock import FileLock

from adapterhub_lite.deployment.fresh import fresh_folder
from adapterhub_lite.deployment.untrusted import require_inside
from adapterhub_lite.errors import BaseModelError, NotFoundError
from adapterhub_lite.isolation.weights import convert_weights

PICKLED: Final = re.compile(
    r"((pytorch|adapter)_model(-\d{5}-of-\d{5})?|pytorch_adapter|pytorch_model_head)\.bin"
)
INDEX: Final = "pytorch_model.bin.index.json"
KEPT: Final = frozenset({".json", ".txt", ".model", ".jinja", ".tiktoken", ".md", ".safetensors"})
"""What else a model's folder has: config, tokenizer, templates, further modules."""


def pickled_weights(folder: Path) -> str | None:
    """Return the name of a folder's pickled weights, None where there are safetensors or none."""
    names = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    if any(name.endswith((".safetensors", ".safetensors.index.json")) for name in names):
        return None
    return min(filter(PICKLED.fullmatch, names), default=None)


def convert_folder(source: Path, cache: Path, ref: str) -> Path:
    """Return a folder of safetensors with the weights and the other files of ``source``.

    It lies in ``cache`` under the hash of all that it is made of, so that it is made once, and anew
    when a file of ``source`` changes. Raises BaseModelError for a pickle that holds anything but
    tensors, StorageError when the disk is too small.
    """
    files = _files(source)
    target = cache / _digest(files)
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / ".lock"):
        if not target.is_dir():
            with fresh_folder(target) as folder:
                for place, file in files.items():
                    _take_over(file, folder / place, ref)
    return target


def _files(source: Path) -> dict[str, Path]:
    """Return what is taken over, by its place: of the folder itself and of its modules'."""
    found = [
        file
        for file in sorted([*source.glob("*"), *source.glob("*/*")])
        if file.is_file()
        and not file.relative_to(source).as_posix().startswith((".", "checkpoint"))
    ]
    return {
        file.relative_to(source).as_posix(): file
        for file in found
        if PICKLED.fullmatch(file.name) or file.suffix in KEPT
    }


def convert_to(source: Path, destination: Path) -> list[str]:
    """Write a pickled file, or a folder's, as safetensors into a new folder; return their names.

    Of a folder its configs, tokenizer and templates go along. Raises NotFoundError where nothing is
    pickled, DataError for a folder that is not empty, BaseModelError for a pickle that holds
    anything but tensors or a link out of the folder, StorageError when the disk is too small.
    """
    if not source.is_file() and pickled_weights(source) is None:
        raise NotFoundError(
            f"{source} has no pickled weights",
            hint="give a file that torch.save wrote, or a folder with pytorch_model.bin",
        )
    with fresh_folder(destination) as folder:
        if source.is_file():
            name = converted_name(f"{source.stem}.bin")
            convert_weights(source, folder / name, str(source.parent))
        else:
            for place, file in _files(source).items():
                require_inside(source, place)
                _take_over(file, folder / place, str(source))
        return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.safetensors"))


def _digest(files: Mapping[str, Path]) -> str:
    known = []
    for place, file in files.items():
        with file.open("rb") as stream:
            known.append((place, hashlib.file_digest(stream, "sha256").hexdigest()))
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:32]


def _take_over(file: Path, target: Path, ref: str) -> None:
    target.parent.mkdir(exist_ok=True)
    if PICKLED.fullmatch(file.name):
        convert_weights(file, target.with_name(converted_name(file.name)), ref)
    elif file.name == INDEX:
        _convert_index(file, target.with_name("model.safetensors.index.json"), ref)
    else:
        shutil.copyfile(file, target)


def converted_name(name: str) -> str:
    """Return what safetensors with the weights of a pickled file are called."""
    return name.removeprefix("pytorch_").removesuffix(".bin") + ".safetensors"


def _convert_index(file: Path, target: Path, ref: str) -> None:
    try:
        places = json.loads(file.read_text(encoding="utf-8"))["weight_map"]
        named = {str(name): Path(place).name for name, place in places.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BaseModelError(f"{file.name} of {ref!r} does not parse", ref=ref) from error
    for name in sorted(set(named.values())):
        if not PICKLED.fullmatch(name) or not (file.parent / name).is_file():
            raise BaseModelError(
                f"{ref!r} has no {name}, which its index names",
                ref=ref,
                hint="download or save the model again",
            )
    places = {name: converted_name(place) for name, place in named.items()}
    target.write_text(json.dumps({"metadata": {}, "weight_map": places}), encoding="utf-8")
