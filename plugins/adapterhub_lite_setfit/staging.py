"""Copy what may be read of a stranger's model folder; nothing else of it is ever opened."""

import re
import shutil
import struct
from pathlib import Path
from typing import Final

from adapterhub_lite.architecture import weight_files
from adapterhub_lite.bases import TOKENIZER_FILES
from adapterhub_lite.errors import BaseModelError
from adapterhub_lite_setfit.head import CONFIG_FILE, TENSORS_FILE

PICKLED_HEAD = "model_head.pkl"

MIB = 2**20
SMALL, LARGE, WEIGHTS = MIB, 64 * MIB, 64 * 2**10 * MIB
MAX_HEADER = 4 * MIB
"""A safetensors header of more than that would take seconds and a gigabyte to parse."""

LIMITS: Final = {
    "README.md": SMALL,
    "config.json": SMALL,
    "config_sentence_transformers.json": SMALL,
    "config_setfit.json": SMALL,
    "modules.json": SMALL,
    "sentence_bert_config.json": SMALL,
    "1_Pooling/config.json": SMALL,
    "model.safetensors.index.json": LARGE,
    "added_tokens.json": LARGE,
    **dict.fromkeys(TOKENIZER_FILES, LARGE),
    CONFIG_FILE: SMALL,
    TENSORS_FILE: LARGE,
    PICKLED_HEAD: LARGE,
}
"""Every file that is read, the weights aside, and how large it may be."""

_WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors")


def stage(source: Path, destination: Path) -> None:
    """Copy the known files of the model folder ``source`` into ``destination``.

    Raises BaseModelError when one is a link that leaves the folder, no regular file or too large,
    or when the weights are missing or pickled.
    """
    if not source.is_dir():
        raise BaseModelError(f"there is no folder {source}", ref=str(source))
    for name, limit in LIMITS.items():
        if _exists(source / name):
            _copy(source, name, limit, destination)
    for file in weight_files(source, str(source)):
        if not _WEIGHTS.fullmatch(file.name):
            raise BaseModelError(f"{file.name!r} is no name for weights", ref=str(source))
        _copy(source, file.name, WEIGHTS, destination)
    for file in destination.glob("*.safetensors"):
        _check_header(file, source)


def _exists(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _copy(source: Path, name: str, limit: int, destination: Path) -> None:
    real = (source / name).resolve()
    if not real.is_relative_to(source.resolve()):
        raise BaseModelError(
            f"{name} of {source} is a link that leads out of the folder",
            ref=str(source),
            hint=f"if you trust it, copy the folder with its links resolved: cp -rL {source} COPY",
        )
    if not real.is_file():
        raise BaseModelError(f"{name} of {source} is no regular file", ref=str(source))
    if real.stat().st_size > limit:
        raise BaseModelError(
            f"{name} of {source} takes more than {limit // MIB} MiB", ref=str(source)
        )
    target = destination / name
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(real, target)


def _check_header(file: Path, source: Path) -> None:
    """Refuse a header that is too long before any library parses it."""
    with file.open("rb") as stream:
        start = stream.read(8)
    if len(start) < 8 or struct.unpack("<Q", start)[0] > MAX_HEADER:
        raise BaseModelError(f"{file.name} of {source} has no valid header", ref=str(source))
