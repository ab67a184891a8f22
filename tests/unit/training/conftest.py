"""A stranger's loader, methods and objectives, some of them faulty, and tiny rows and bases."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from adapterhub_lite.architecture import Architecture
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.data.table import RowSet, TextSet
from adapterhub_lite.errors import TrainingError
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.plugins import PluginSource, get_catalogue
from adapterhub_lite.protocols import Attached, LoadedBase, Outcome, Run, TrainingData
from adapterhub_lite.scoring import ProbabilityScorer
from adapterhub_lite.specs import (
    Family,
    Head,
    LoaderSpec,
    MethodSpec,
    ObjectiveSpec,
    Params,
    ResolvedBase,
    Spec,
)
from adapterhub_lite.testing import TINY_ROWS, write_tiny_model
from adapterhub_lite.transformer import load_transformer, quiet_transformers
from adapterhub_lite_registry import Registry

ENCODERS: frozenset[Family] = frozenset({"encoder"})
EVERY: frozenset[Family] = frozenset({"encoder", "decoder", "encoder-decoder"})
TASK = "text-classification"


class PlainLoader:
    """Loads as it stands in the files; counts how often."""

    loaded: ClassVar[list[str]] = []

    def load(self, base: ResolvedBase, head: Head, params: Params, device: str) -> LoadedBase:
        import torch

        self.loaded.append(base.ref)
        return load_transformer(Path(base.path), head, torch.float32, "cpu")

    def dequantise(self, base: LoadedBase) -> LoadedBase:
        return base


class NoMethod:
    """Trains no weight, and says that it would train 1000."""

    def check(self, architecture: Architecture, head: Head, params: Params) -> Sequence[str]:
        return []

    def count_trainable(self, architecture: Architecture, head: Head, params: Params) -> int:
        return 1000

    def attach(self, base: LoadedBase, params: Params) -> Attached:
        return Attached(base.model, base.tokenizer, base.path, frozenset())

    def save(self, attached: Attached, folder: Path) -> None:
        with quiet_transformers():
            attached.model.save_pretrained(folder)
            attached.tokenizer.save_pretrained(folder)

    def load(self, base: LoadedBase, folder: Path) -> LoadedBase:
        return base

    def bake(self, base: LoadedBase, folder: Path) -> LoadedBase:
        return base


class Choosy(NoMethod):
    """Finds two things against every base."""

    def check(self, architecture: Architecture, head: Head, params: Params) -> Sequence[str]:
        return [f"it dislikes {architecture.model_type}", "and more"]


class Poisoned(NoMethod):
    """Leaves a weight that is not a number in what it saves."""

    def save(self, attached: Attached, folder: Path) -> None:
        next(attached.model.parameters()).data[0, 0] = float("nan")
        super().save(attached, folder)


@dataclass
class Shares(ProbabilityScorer):
    """Gives every text the shares of the labels among the training rows."""

    classes: tuple[str, ...]
    shares: tuple[float, ...]
    multi_label: bool = False
    threshold: float = 0.5

    def predict_proba(
        self, texts: Sequence[Any], progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float64]:
        if progress:
            progress(len(texts))
        return np.tile(np.array(self.shares), (len(texts), 1))


class Majority:
    """Counts labels and looks at no text."""

    def check(self, data: RowSet, params: Params) -> Sequence[str]:
        return []

    def head(self, rows: RowSet, params: Params) -> Head:
        return Head(labels=rows.classes)

    def fit(self, attached: Attached, given: TrainingData, params: Params, run: Run) -> Outcome:
        data = given.train
        assert isinstance(data, TextSet)
        counts = Counter(label for row in data.labels for label in row)
        run.step("count", 1, 1)
        shares = tuple(counts[name] / counts.total() for name in data.classes)
        return Outcome(
            scorer=Shares(data.classes, shares),
            baseline=None,
            kept="majority",
            reason="there is no other",
            selection=self.selection(run.seed),
            hyperparameters={"seen": len(data)},
        )

    def selection(self, seed: int) -> float | None:
        return None

    def save(self, outcome: Outcome, folder: Path) -> None:
        scorer = outcome.scorer
        values = {"classes": scorer.classes, "shares": scorer.shares}  # type: ignore[attr-defined]
        (folder / "shares.json").write_text(json.dumps(values))

    def load(self, base: LoadedBase, folder: Path) -> Shares:
        values = json.loads((folder / "shares.json").read_text())
        return Shares(tuple(values["classes"]), tuple(values["shares"]))


class BySeed(Majority):
    """Likes its second seed best."""

    def selection(self, seed: int) -> float | None:
        return {0: 0.5, 1: 0.9, 2: 0.7}[seed]


class FirstSeedIsNotANumber(Majority):
    """Cannot say how good its first seed is."""

    def selection(self, seed: int) -> float | None:
        return float("nan") if seed == 0 else 0.9


class ForgetsShares(Majority):
    """Reloads with the shares of other labels."""

    def load(self, base: LoadedBase, folder: Path) -> Shares:
        scorer = super().load(base, folder)
        return replace(scorer, shares=(0.9, *[0.1 / 2] * 2))


class ForgetsOrder(Majority):
    """Reloads with its labels in another order."""

    def load(self, base: LoadedBase, folder: Path) -> Shares:
        scorer = super().load(base, folder)
        return replace(scorer, classes=scorer.classes[::-1])


class ForgetsThreshold(Majority):
    """Reloads with another threshold, and so with other answers."""

    def load(self, base: LoadedBase, folder: Path) -> Shares:
        return replace(super().load(base, folder), multi_label=True, threshold=0.9)


class NotANumber(Majority):
    """Answers with numbers that are none."""

    def fit(self, attached: Attached, given: TrainingData, params: Params, run: Run) -> Outcome:
        outcome = super().fit(attached, given, params, run)
        classes = given.train.classes
        outcome.scorer = Shares(classes, (float("nan"),) * len(classes))
        return outcome


class Fails(Majority):
    """Fails while it trains."""

    def fit(self, attached: Attached, given: TrainingData, params: Params, run: Run) -> Outcome:
        raise TrainingError("it did not work out")


class Refuses(Majority):
    """Finds two things against all rows."""

    def check(self, data: RowSet, params: Params) -> Sequence[str]:
        return [f"{len(data)} rows are not enough", "and more"]


class MajorityParams(Params):
    """The parameters of majority."""

    smoothing: float = 1.0


def named(implementation: type) -> dict[str, Any]:
    """Return what a spec needs to find a class of this module."""
    where = f"{__name__}:{implementation.__name__}"
    return {"summary": str(implementation.__doc__), "implementation": where}


def lab_specs() -> list[Spec]:
    """Return everything that the lab offers."""
    objectives = (
        ("by-seed", BySeed),
        ("first-seed-nan", FirstSeedIsNotANumber),
        ("forgets-shares", ForgetsShares),
        ("forgets-order", ForgetsOrder),
        ("forgets-threshold", ForgetsThreshold),
        ("nan", NotANumber),
        ("fails", Fails),
        ("refuses", Refuses),
    )
    return [
        LoaderSpec(name="plain", bytes_per_parameter=4, **named(PlainLoader)),
        LoaderSpec(name="half-byte", bytes_per_parameter=0.5, quantised=True, **named(PlainLoader)),
        MethodSpec(name="none", needs_base=False, **named(NoMethod)),
        MethodSpec(
            name="none-q",
            needs_base=False,
            capabilities=frozenset({"quantised-base"}),
            **named(NoMethod),
        ),
        MethodSpec(
            name="decoders", needs_base=False, families=frozenset({"decoder"}), **named(NoMethod)
        ),
        MethodSpec(name="choosy", needs_base=False, **named(Choosy)),
        MethodSpec(name="poisoned", needs_base=False, **named(Poisoned)),
        ObjectiveSpec(
            name="majority", task=TASK, families=EVERY, params=MajorityParams, **named(Majority)
        ),
        ObjectiveSpec(name="encoders", task=TASK, families=ENCODERS, **named(Majority)),
        *(
            ObjectiveSpec(name=name, task=TASK, families=EVERY, **named(implementation))
            for name, implementation in objectives
        ),
    ]


def plugin(distribution: str, version: str, **hooks: Callable[..., Any]) -> PluginSource:
    """Make a distribution whose plugin implements the given hooks."""
    module = ModuleType(distribution)
    vars(module).update({name: hookimpl(hook) for name, hook in hooks.items()})
    return PluginSource("main", distribution, version, lambda: module)


@dataclass
class Lab:
    """What tests of training work with: where rows and bases are, and how to train on them."""

    registry: Registry
    base: Path
    rows: Path
    test: Path
    loaded: list[str]

    @property
    def catalogue(self) -> Catalogue:
        """The first-party plugins and the lab's."""
        return self.catalogue_with()

    def catalogue_with(self, **hooks: Callable[..., Any]) -> Catalogue:
        """Return a catalogue with one more plugin, first in line, that implements these hooks."""
        of = {
            "adapterhub_loaders": LoaderSpec,
            "adapterhub_methods": MethodSpec,
            "adapterhub_objectives": ObjectiveSpec,
        }
        offers = {
            hook: lambda kind=kind: [s for s in lab_specs() if isinstance(s, kind)]
            for hook, kind in of.items()
        }
        more = [plugin("acme-follower", "1.0", **hooks)] if hooks else []
        ours = [record.source for record in get_catalogue(first_party_only=True).records]
        return Catalogue([*more, *ours, plugin("acme-lab", "2.1", **offers)])

    def recipe(self, **changes: Any) -> dict[str, Any]:
        """Return the lab's recipe, with keys changed."""
        values: Mapping[str, Any] = {
            "base": str(self.base),
            "loader": "plain",
            "method": "none",
            "objective": "majority",
            "data": {"train": str(self.rows), "test": str(self.test)},
            "publish": "shares",
        }
        return {**values, **changes}

    def events(self) -> list[dict[str, Any]]:
        """Return the events of the only run."""
        (file,) = (self.registry.home / "runs").glob("*/events.jsonl")
        return [json.loads(line) for line in file.read_text().splitlines()]


def write_rows(file: Path, rows: Sequence[tuple[str, str]]) -> Path:
    """Write rows of text and label."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("text", "label"), *rows])
    return file


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny random BERT."""
    return write_tiny_model(tmp_path_factory.mktemp("base") / "tiny-bert")


@pytest.fixture
def lab(home: Path, tmp_path: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Set up a lab: seven fruits, six tools and five pieces of music to learn from."""
    monkeypatch.setattr("adapterhub_lite.evaluation.intervals.RESAMPLES", 20)
    monkeypatch.setattr(PlainLoader, "loaded", [])
    rows = [("a very quiet plum", "fruit"), *TINY_ROWS[:-1]]
    return Lab(
        registry=Registry.open(home),
        base=tiny_bert,
        rows=write_rows(tmp_path / "train.csv", rows),
        test=write_rows(tmp_path / "test.csv", [(f"{t} please", name) for t, name in TINY_ROWS]),
        loaded=PlainLoader.loaded,
    )
