"""Adapters on tiny bases, drawn instead of trained, as versions of a registry."""

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from adapterhub_lite_registry import ManifestDraft
from tests.unit.composition.routes import FRUIT, MUSIC

LABELS = ("fruit", "tool", "music")
TEXTS = ("the apple is sweet", "a heavy drill", "that quiet flute", "my rusty saw is loud")

Adapter = Callable[..., str]


@dataclass(frozen=True)
class Done:
    """What a command printed, and what it exited with."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that gives a tiny base of a type; another seed is another base."""
    place = tmp_path_factory.mktemp("bases")

    def base(model_type: str = "bert", seed: int = 0) -> Path:
        folder = place / f"{model_type}-{seed}"
        if not folder.exists():
            write_tiny_model(folder, model_type, seed, num_hidden_layers=2)
        return folder

    return base


@pytest.fixture(scope="session")
def drawn(
    bases: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Return a function that gives the folder of an adapter of random numbers, drawn once."""
    done: dict[str, Path] = {}

    def draw(
        name: str,
        given: dict[str, Any],
        labels: tuple[str, ...],
        base: Path,
        loader: str,
        objective: str,
    ) -> Path:
        key = repr((name, given, labels, base, loader, objective))
        if key not in done:
            head = Head(kind=get_catalogue().objective(objective).head)
            if head.kind == "sequence-classification":
                head = replace(head, labels=labels, problem="single-label")
            done[key] = tmp_path_factory.mktemp("drawn") / name
            done[key].mkdir()
            _write(done[key], given, head, _resolved(base), loader, objective)
        return done[key]

    return draw


@pytest.fixture
def adapter(bases: Callable[..., Path], drawn: Callable[..., Path], tmp_path: Path) -> Adapter:
    """Return a function that publishes an adapter of random numbers; the name draws them.

    Its files are also a folder of the test's own: ``adapters/NAME``.
    """

    def publish(
        name: str,
        method: str | Mapping[str, Any] = "lora",
        labels: tuple[str, ...] = LABELS,
        base: Path | None = None,
        loader: str = "fp32",
        objective: str = "classification",
    ) -> str:
        given = {"name": method} if isinstance(method, str) else dict(method)
        folder = tmp_path / "adapters" / name
        shutil.copytree(drawn(name, given, labels, base or bases(), loader, objective), folder)
        draft = ManifestDraft(kind="adapter", task=get_catalogue().objective(objective).task)
        return str(publish_folder(folder, name, draft, api.open_registry()))

    return publish


def _resolved(base: Path) -> ResolvedBase:
    return ResolvedBase(ref=str(base), path=str(base), source="path")


def _write(
    folder: Path,
    given: dict[str, Any],
    head: Head,
    base: ResolvedBase,
    loader: str,
    objective: str,
) -> None:
    catalogue = get_catalogue()
    loader_spec = catalogue.loader(loader)
    loads = catalogue.implementation(loader_spec)
    spec = catalogue.method(given["name"])
    method = catalogue.implementation(spec)
    params = validate(spec.params, {k: v for k, v in given.items() if k != "name"})
    with torch.random.fork_rng():
        torch.manual_seed(sum(folder.name.encode()))
        loaded = loads.load(base, head, loader_spec.params(), "cpu")
        attached = method.attach(loaded, params)
        for name, value in sorted(attached.model.named_parameters()):
            if name in attached.trainable:
                value.data += torch.randn(value.shape) * 0.3
    method.save(attached, folder)
    learns = catalogue.objective(objective)
    implementation = catalogue.implementation(learns)
    scorer = implementation.adopt(loaded, learns.params())
    implementation.save(Outcome(scorer, None, kept="drawn", reason="drawn", selection=None), folder)
    info = ArtifactInfo(
        task=learns.task,
        method=given["name"],
        objective=objective,
        loader=loader,
        head=head,
        base=NeededBase(ref=base.path, fingerprint=fingerprint(base)),
    )
    write_artifact_info(folder, info)


@pytest.fixture
def rows(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes texts into a file of the test's own."""

    def write(name: str, texts: Sequence[str]) -> str:
        file = tmp_path / f"{name}.jsonl"
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        return str(file)

    return write


@pytest.fixture
def pair(adapter: Adapter, rows: Callable[..., str]) -> list[dict[str, Any]]:
    """Return two members with other labels, and examples of each."""
    return [
        {"ref": adapter("a"), "examples": rows("fruit", FRUIT)},
        {"ref": adapter("b", labels=("yes", "no")), "examples": rows("music", MUSIC)},
    ]


@pytest.fixture
def compose() -> Callable[..., Any]:
    """Return a function that composes references, by a name with parameters, as ``made``."""

    def run(how: str | Mapping[str, Any], *members: Any, **recipe: Any) -> Any:
        values = {"composition": how, "members": list(members), "publish": "made", **recipe}
        return api.compose(values)

    return run


@pytest.fixture
def ahl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run ``ahl`` with the given words, through the same ``main`` as the console script."""
    from adapterhub_lite.cli.root import main

    def run(*words: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["ahl", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        assert isinstance(stopped.value.code, int)
        return Done(stopped.value.code, printed.out, printed.err)

    return run
