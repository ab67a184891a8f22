"""Pooling is sentence-transformers' own, read from and written to its folders."""

import json
from pathlib import Path
from typing import get_args

import pytest
import torch
from sentence_transformers.sentence_transformer.modules import Pooling as Theirs

from adapterhub_lite.errors import BaseModelError
from adapterhub_lite.pooling import Mode, Pooling, read_pooling, write_pooling


@pytest.mark.parametrize("mode", get_args(Mode))
def test_every_mode_pools_as_sentence_transformers(mode: Mode) -> None:
    hidden = torch.randn(5, 7, 12)
    mask = torch.zeros(5, 7, dtype=torch.long)
    for row, length in enumerate([7, 1, 3, 6, 2]):
        mask[row, :length] = 1
    theirs = Theirs(12, pooling_mode=mode)
    expected = theirs({"token_embeddings": hidden, "attention_mask": mask})["sentence_embedding"]
    assert torch.allclose(Pooling(mode, normalise=False)(hidden, mask), expected, atol=1e-6)


@pytest.mark.parametrize("mode", get_args(Mode))
@pytest.mark.parametrize("normalise", [True, False])
def test_pooling_survives_the_folder(mode: Mode, normalise: bool, tmp_path: Path) -> None:
    write_pooling(Pooling(mode, normalise), 12, tmp_path)
    assert read_pooling(tmp_path) == Pooling(mode, normalise)


def test_a_plain_transformers_folder_is_mean_pooled(tmp_path: Path) -> None:
    assert read_pooling(tmp_path) == Pooling("mean", normalise=True)


def test_an_unknown_module_is_refused(tmp_path: Path) -> None:
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Dense"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(BaseModelError, match="Dense"):
        read_pooling(tmp_path)


def test_two_pooling_modes_at_once_are_refused(tmp_path: Path) -> None:
    write_pooling(Pooling(), 12, tmp_path)
    config = tmp_path / "1_Pooling" / "config.json"
    values = json.loads(config.read_text()) | {"pooling_mode_cls_token": True}
    config.write_text(json.dumps(values))
    with pytest.raises(BaseModelError, match="cls"):
        read_pooling(tmp_path)
