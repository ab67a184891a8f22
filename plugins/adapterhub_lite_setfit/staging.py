"""Copy what may be read of a stranger's SetFit folder; nothing else of it is ever opened."""

from pathlib import Path
from typing import Final

from adapterhub_lite.deployment.model_folders import LARGE, SMALL, stage_model
from adapterhub_lite.deployment.untrusted import check_header
from adapterhub_lite_setfit.head import CONFIG_FILE, TENSORS_FILE

PICKLED_HEAD: Final = "model_head.pkl"
HEAD_FILES: Final = {
    "config_setfit.json": SMALL,
    CONFIG_FILE: SMALL,
    TENSORS_FILE: LARGE,
    PICKLED_HEAD: LARGE,
}
"""What a SetFit folder has beside a model's files, and how large it may be."""


def stage(source: Path, destination: Path, *, convert: bool = False) -> None:
    """Copy the known files of the model folder ``source``; raises as :func:`stage_model`."""
    stage_model(source, destination, HEAD_FILES, convert=convert)
    if (destination / TENSORS_FILE).is_file():
        check_header(destination / TENSORS_FILE, str(source))
