"""Copy what may be read of a stranger's model folder; nothing else of it is ever opened."""

import re
from pathlib import Path
from typing import Final

from adapterhub_lite.architecture import weight_files
from adapterhub_lite.bases import TOKENIZER_FILES
from adapterhub_lite.deployment.untrusted import MIB, check_header, copy_file, exists
from adapterhub_lite.errors import BaseModelError
from adapterhub_lite_setfit.head import CONFIG_FILE, TENSORS_FILE

PICKLED_HEAD = "model_head.pkl"

SMALL, LARGE, WEIGHTS = MIB, 64 * MIB, 64 * 2**10 * MIB

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
        if exists(source / name):
            copy_file(source, name, limit, destination)
    for file in weight_files(source, str(source)):
        if not _WEIGHTS.fullmatch(file.name):
            raise BaseModelError(f"{file.name!r} is no name for weights", ref=str(source))
        copy_file(source, file.name, WEIGHTS, destination)
    for file in destination.glob("*.safetensors"):
        check_header(file, str(source))
