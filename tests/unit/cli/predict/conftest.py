"""A version of every task, trained on a tiny base; and one whose model is a fake."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from adapterhub_lite import api
from adapterhub_lite.inference.predictor import Predictor
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.scoring import ProbabilityScorer
from adapterhub_lite.testing import TINY_ROWS, write_tiny_model
from adapterhub_lite_registry import ManifestDraft, Registry

TINY_T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
TEXTS = [text for text, _ in TINY_ROWS]
LABELS = [label for _, label in TINY_ROWS]
CONTEXT = "the violin is loud and the drum is fast"


def _words(text: str) -> dict[str, Any]:
    words = text.split()
    return {"words": words, "tags": ["B-IT" if word == "the" else "O" for word in words]}


def _chat(text: str, answer: str) -> dict[str, Any]:
    turns = (("user", text), ("assistant", answer))
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def _question(number: int) -> dict[str, Any]:
    answer = ("violin", "drum")[number % 2]
    found = {"text": [answer], "answer_start": [CONTEXT.index(answer)]}
    return {"question": f"is this {answer}", "context": CONTEXT, "answers": found}


def _rows_of() -> dict[str, list[dict[str, Any]]]:
    pairs = list(zip(TEXTS, LABELS, strict=True))
    return {
        "labels": [{"text": text, "label": label} for text, label in pairs],
        "pairs": [{"sentence1": a, "sentence2": b, "label": b} for a, b in pairs],
        "tags": [_words(text) for text in TEXTS],
        "values": [{"text": text, "value": len(text)} for text in TEXTS],
        "reader": [_question(number) for number in range(8)],
        "chat": [_chat(a, b) for a, b in pairs],
        "plain": [{"prompt": f"{a} :", "completion": b} for a, b in pairs],
        "summary": [{"source": a, "target": b} for a, b in pairs],
        "similar": [{"anchor": a, "positive": b} for a, b in pairs],
        "documents": [{"text": text} for text in TEXTS],
    }


RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "labels": ("bert", {"name": "classification"}),
    "pairs": ("bert", {"name": "classification"}),
    "tags": ("bert", {"name": "tagging"}),
    "values": ("bert", {"name": "regression"}),
    "reader": ("bert", {"name": "question-answering"}),
    "chat": ("llama", {"name": "sft", "template": "plain", "max_new_tokens": 4}),
    "plain": ("llama", {"name": "sft", "max_new_tokens": 4}),
    "summary": ("t5", {"name": "seq2seq", "max_new_tokens": 4}),
    "similar": ("bert", {"name": "embedding"}),
    "documents": ("llama", {"name": "causal-lm", "max_new_tokens": 4}),
}
"""The base and the objective of each version."""


class Trained:
    """Versions that are trained when they are asked for, in a registry of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.registry = Registry.open(self.home)
        self._rows = _rows_of()

    def base(self, model_type: str) -> Path:
        """Return the folder of a tiny base."""
        place = self.folder / model_type
        if not place.exists():
            write_tiny_model(place, model_type, **(TINY_T5 if model_type == "t5" else {}))
        return place

    def version(self, name: str, method: str = "full") -> str:
        """Return the reference of a version, trained if it is not there yet."""
        published = f"{name}-{method}"
        if published not in self.registry.names():
            self._train(name, method, published)
        return published

    def _train(self, name: str, method: str, published: str) -> None:
        base, objective = RECIPES[name]
        rows = self.folder / f"{name}.jsonl"
        rows.write_text("".join(json.dumps(row) + "\n" for row in self._rows[name]))
        recipe = {
            "base": str(self.base(base)),
            "method": method,
            "objective": {**objective, "max_steps": 1},
            "data": {"train": str(rows)},
            "publish": published,
        }
        catalogue = get_catalogue(first_party_only=True)
        api.train(recipe, registry=self.registry, catalogue=catalogue)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(tmp_path_factory.mktemp("trained"))


Ask = Callable[..., Any]


@pytest.fixture
def run(ahl: Any, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Run ``ahl predict`` on a trained version, in an empty folder: ``run("tags", "a text")``."""
    monkeypatch.chdir(tmp_path)

    def predict(name: str, *words: str) -> Any:
        return ahl("predict", trained.version(name), *words, "--home", str(trained.home))

    return predict


@pytest.fixture
def ask(run: Ask) -> Ask:
    """Return the records of an answer, as JSON has them."""

    def predict(name: str, *words: str) -> Any:
        done = run(name, *words, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)

    return predict


@dataclass
class Lengths(ProbabilityScorer):
    """A scorer whose probabilities follow the length of the text."""

    classes: tuple[str, ...] = ("long", "short", "tiny")
    multi_label: bool = False
    threshold: float = 0.5
    asked: list[str] = field(default_factory=list)

    def predict_proba(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float64]:
        self.asked += texts
        if progress:
            progress(len(texts))
        return np.array([self._shares(len(text)) for text in texts], dtype=float).reshape(-1, 3)

    def _shares(self, length: int) -> tuple[float, float, float]:
        if length > 20:
            return 0.625, 0.25, 0.125
        return (0.125, 0.75, 0.125) if length > 5 else (0.25, 0.3125, 0.4375)


@pytest.fixture
def scorer() -> Lengths:
    return Lengths()


@pytest.fixture
def publish_fake(home: Path) -> Callable[[str, str], None]:
    """Return a function that publishes what is enough of a version: a name and an objective."""

    def publish(name: str, objective: str) -> None:
        info = {"task": "text-classification", "method": "full", "objective": objective}
        files: dict[str, Any] = {"adapterhub.json": json.dumps(info).encode()}
        draft = ManifestDraft(kind="classifier", task="text-classification")
        Registry.open(home).publish(name, files, draft, alias="prod")

    return publish


@pytest.fixture
def here(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    publish_fake: Callable[[str, str], None],
    scorer: Lengths,
) -> Path:
    """Work in a fresh folder, with a registry whose version words@prod is the fake."""
    publish_fake("words", "classification")

    def load(ref: str, **options: Any) -> Predictor:
        assert ref == "words@prod"
        assert options["device"] == "cpu"
        return Predictor(scorer, "words@1", "text-classification", "labelled-text")

    monkeypatch.setattr("adapterhub_lite.api.load", load)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def predicted(ahl: Any, here: Path) -> Ask:
    """Run ``ahl predict`` on the fake: ``predicted("a text", "--json")``."""

    def predict(*words: str) -> Any:
        done = ahl("predict", "words@prod", *words)
        assert done.code == 0, done.err
        return done

    return predict
