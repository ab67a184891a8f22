"""An adapter answers the same where the base's weights come apart in another way.

Decompositions have many right answers. Here the singular vectors and eigenvectors have another
sign when an adapter is loaded than when it was trained, as another processor may give them.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapterhub_lite.errors import IntegrityError
from adapterhub_lite.protocols import Attached
from adapterhub_lite_peft.method import PeftMethod
from tests.unit.peft.conftest import Bench, batch_for

METHOD = PeftMethod()
pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant:UserWarning")
FILE = "derived.safetensors"
DECOMPOSING = ("adamss", "frod", "osf", "psoft", "tinylora")


def trained(bench: Bench, name: str) -> Attached:
    """Attach a method and move what learns, so that the parts belong to each other."""
    attached = bench.attach(name, "bert")
    generator = torch.Generator().manual_seed(3)
    for value in attached.model.parameters():
        if value.requires_grad:
            value.data += 0.1 * torch.randn(value.shape, generator=generator)
    attached.model.eval()
    return attached


def answers(model: Any) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model(**batch_for("sequence-classification")).logits
    return logits


def flip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn every second vector of each decomposition."""

    def turned(vectors: torch.Tensor, dim: int) -> torch.Tensor:
        signs = 1.0 - 2.0 * (torch.arange(vectors.shape[dim]) % 2)
        return vectors * (signs if dim == -1 else signs[:, None])

    def patch(owner: Any, name: str, change: Callable[[Any], tuple[torch.Tensor, ...]]) -> None:
        plain = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *args, **named: change(plain(*args, **named)))

    patch(torch.linalg, "svd", lambda out: (turned(out[0], -1), out[1], turned(out[2], -2)))
    patch(torch, "svd_lowrank", lambda out: (turned(out[0], -1), out[1], turned(out[2], -1)))
    patch(torch.linalg, "eigh", lambda out: (out[0], turned(out[1], -1)))
    # modules that imported the function by name
    monkeypatch.setattr("peft.tuners.psoft.layer.svd_lowrank", torch.svd_lowrank)


@pytest.mark.parametrize("name", DECOMPOSING)
def test_signs_of_a_decomposition_change_no_answer(
    bench: Bench, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attached = trained(bench, name)
    METHOD.save(attached, tmp_path)
    flip(monkeypatch)
    loaded = METHOD.load(bench.base("bert"), tmp_path)
    assert torch.allclose(answers(loaded.model), answers(attached.model), atol=1e-6)


def test_without_the_file_they_would(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attached = trained(bench, "psoft")
    METHOD.save(attached, tmp_path)
    (tmp_path / FILE).unlink()
    flip(monkeypatch)
    loaded = METHOD.load(bench.base("bert"), tmp_path)
    assert not torch.allclose(answers(loaded.model), answers(attached.model), atol=1e-3)


def without_one(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return dict(sorted(tensors.items())[1:])


def shorter(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value[:-1].contiguous() for name, value in tensors.items()}


def infinite(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: torch.full_like(value, torch.inf) for name, value in tensors.items()}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(without_one, "other layers"), (shorter, "another shape"), (infinite, "not finite")],
)
def test_a_file_that_does_not_fit_is_refused(
    bench: Bench, tmp_path: Path, spoil: Callable[[Any], Any], reason: str
) -> None:
    METHOD.save(bench.attach("frod", "bert"), tmp_path)
    spoilt = spoil(load_file(tmp_path / FILE))
    save_file(spoilt, tmp_path / FILE)
    with pytest.raises(IntegrityError, match=reason):
        METHOD.load(bench.base("bert"), tmp_path)


def test_a_broken_file_is_refused(bench: Bench, tmp_path: Path) -> None:
    METHOD.save(bench.attach("frod", "bert"), tmp_path)
    (tmp_path / FILE).write_bytes(b"not a tensor")
    with pytest.raises(IntegrityError, match="cannot be read"):
        METHOD.load(bench.base("bert"), shutil.copytree(tmp_path, tmp_path / "copy"))
