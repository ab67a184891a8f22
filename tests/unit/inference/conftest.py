"""Adapters of random numbers for any task, as versions of a registry."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from adapterhub_lite import api
from adapterhub_lite.bases import fingerprint
from adapterhub_lite.inference.artifact import ArtifactInfo, NeededBase, write_artifact_info
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.protocols import Outcome
from adapterhub_lite.recipes import validate
from adapterhub_lite.specs import Head, ResolvedBase
from adapterhub_lite.testing import write_tiny_model
from adapterhub_lite.training.publish import publish_folder
from adapterhub_lite_peft.mixed import LoraHost
from adapterhub_lite_registry import ManifestDraft

LABELS = ("fruit", "tool", "music")
Bases = Callable[..., Path]
Publish = Callable[..., str]


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Bases:
    """Return a function that gives a tiny base of a type; another seed is another base."""
    place = tmp_path_factory.mktemp("bases")
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}

    def base(model_type: str = "bert", seed: int = 0) -> Path:
        folder = place / f"{model_type}-{seed}"
        if not folder.exists():
            own = sizes if model_type == "t5" else {"num_hidden_layers": 2}
            write_tiny_model(folder, model_type, seed, initializer_range=0.2, **own)
        return folder

    return base


@pytest.fixture
def publish(bases: Bases, tmp_path: Path) -> Publish:
    """Return a function that publishes an adapter of random numbers, drawn by its name.

    ``method`` and ``objective`` are names, or mappings with parameters.
    """

    def made(
        name: str,
        method: Any = "lora",
        objective: Any = "classification",
        labels: tuple[str, ...] = LABELS,
        base: Path | None = None,
    ) -> str:
        folder = tmp_path / "drawn" / name
        folder.mkdir(parents=True)
        info = _write(folder, _named(method), _named(objective), labels, base or bases())
        kind = "adapter" if info.base else "model"
        draft = ManifestDraft(kind=kind, task=info.task)
        return str(publish_folder(folder, name, draft, api.open_registry()))

    return made


def _named(given: Any) -> dict[str, Any]:
    return dict(given) if isinstance(given, Mapping) else {"name": given}


def _write(
    folder: Path,
    method: dict[str, Any],
    objective: dict[str, Any],
    labels: tuple[str, ...],
    base: Path,
) -> ArtifactInfo:
    catalogue = get_catalogue()
    learns = catalogue.objective(objective.pop("name"))
    adapts = catalogue.method(method.pop("name"))
    head = _head(learns.head, learns.name, labels)
    found = ResolvedBase(ref=str(base), path=str(base), source="path")
    loader = catalogue.loader("fp32")
    with torch.random.fork_rng():
        torch.manual_seed(sum(folder.name.encode()))
        loaded = catalogue.implementation(loader).load(found, head, loader.params(), "cpu")
        implementation = catalogue.implementation(adapts)
        attached = implementation.attach(loaded, validate(adapts.params, method))
        for name, value in sorted(attached.model.named_parameters()):
            if name in attached.trainable:
                value.data += torch.randn(value.shape) * 0.3
    trained = catalogue.implementation(learns)
    scorer = trained.adopt(loaded, validate(learns.params, objective))
    implementation.save(attached, folder)
    trained.save(Outcome(scorer, None, kept="drawn", reason="drawn", selection=None), folder)
    info = ArtifactInfo(
        task=learns.task,
        method=adapts.name,
        objective=learns.name,
        head=head,
        base=NeededBase(ref=str(base), fingerprint=fingerprint(found))
        if adapts.needs_base
        else None,
    )
    write_artifact_info(folder, info)
    return info


def _head(kind: Any, objective: str, labels: tuple[str, ...]) -> Head:
    if objective == "regression":
        return Head(kind=kind, labels=("value",), problem="regression")
    if objective == "classification":
        return Head(kind=kind, labels=labels, problem="single-label")
    return Head(kind=kind, labels=labels if objective == "tagging" else ())


def close(one: Any, other: Any) -> bool:
    """Say whether two records are the same but for 1e-5 in their numbers."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(close, one, other))
    if isinstance(one, float):
        return abs(one - other) <= 1e-5
    return bool(one == other)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by the number of adapters of each mixed batch."""
    counts: list[int] = []
    rows = LoraHost.rows

    def counted(self: LoraHost, adapters: Sequence[Any]) -> Any:
        counts.append(len({id(adapter) for adapter in adapters}))
        return rows(self, adapters)

    monkeypatch.setattr(LoraHost, "rows", counted)
    return counts
