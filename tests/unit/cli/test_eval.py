"""``ahl eval``: scores with intervals, a paired comparison, and a record beside the version."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from adapterhub_lite.data.examples import Examples
from adapterhub_lite.data.table import RowSet
from adapterhub_lite.inference.predictor import Predictor
from adapterhub_lite.scoring import ProbabilityScorer, Scored
from adapterhub_lite_registry import ManifestDraft, Registry, Version
from adapterhub_lite_registry.evaluations import EvaluationStore

OBJECTIVES = """
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import ObjectiveSpec

@hookimpl
def adapterhub_objectives():
    every = frozenset({"encoder"})
    yield ObjectiveSpec(
        name="echo", summary="Echo.", task="text-classification", families=every
    )
    yield ObjectiveSpec(
        name="echo-tags", summary="Echo.", task="token-classification", rows="tagged-words",
        families=every, head="token-classification",
    )
"""


class Echo(ProbabilityScorer):
    """Says a label that the text names; ``blind`` ones are missed."""

    def __init__(self, blind: str = "", labels: tuple[str, ...] = ("cat", "dog", "eel")) -> None:
        self.blind = blind
        self.labels = labels

    @property
    def classes(self) -> tuple[str, ...]:
        return self.labels

    @property
    def multi_label(self) -> bool:
        return False

    @property
    def threshold(self) -> float:
        return 0.5

    def predict_proba(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float64]:
        rest = 0.2 / (len(self.labels) - 1)
        rows = np.full((len(texts), len(self.labels)), rest)
        for row, text in enumerate(texts):
            seen = [name in text and name != self.blind for name in self.labels]
            rows[row, seen.index(True) if any(seen) else 0] = 0.8
        return rows


class EchoTags:
    """Tags every word as it is spelt: PER where it starts with a capital."""

    classes = ("B-PER", "O")

    def score(self, rows: RowSet, progress: Callable[[int], None] | None = None) -> Scored:
        assert isinstance(rows, Examples)
        answers = [tuple("B-PER" if w.istitle() else "O" for w in i.words) for i in rows.items]
        arrays = np.empty((3, len(rows)), dtype=object)
        arrays[0, :] = [item.tags for item in rows.items]
        arrays[1, :] = answers
        return Scored(*arrays)

    def predict(
        self, inputs: Sequence[Any], progress: Callable[[int], None] | None = None
    ) -> list[Any]:
        raise AssertionError("rows are scored, not predicted")


@pytest.fixture
def registry(home: Path) -> Registry:
    return Registry.open(home)


@pytest.fixture
def publish(registry: Registry) -> Callable[..., Version]:
    """Publish what is enough of a version: what it is for."""

    def call(name: str, task: str = "text-classification", objective: str = "echo") -> Version:
        info = {"task": task, "method": "full", "objective": objective}
        files: dict[str, Any] = {"adapterhub.json": json.dumps(info).encode()}
        return registry.publish(name, files, ManifestDraft(kind="classifier", task=task))

    return call


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: Any) -> Path:
    """Work in a fresh folder, with objectives of our own and scorers instead of models."""
    environment.install("echo", {"echo": "echo_objectives"}, {"echo_objectives": OBJECTIVES})
    monkeypatch.setattr("adapterhub_lite.evaluation.intervals.RESAMPLES", 50)
    scorers: dict[str, Any] = {
        "pets": Echo(),
        "blind": Echo(blind="eel"),
        "many": Echo(labels=tuple(f"pet{i}" for i in range(10))),
        "tags": EchoTags(),
    }

    def load(ref: str, **options: Any) -> Predictor:
        name = ref.partition("@")[0]
        if name == "tags":
            return Predictor(scorers[name], "tags@1", "token-classification", "tagged-words")
        return Predictor(scorers[name], f"{name}@1", "text-classification", "labelled-text")

    monkeypatch.setattr("adapterhub_lite.api.load", load)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    lines = [f"my {name} number {i},{name}" for i in range(20) for name in ("cat", "dog", "eel")]
    Path("pets.csv").write_text("text,label\n" + "\n".join(lines) + "\nno pet at all,dog\n")
    return folder


def test_scores_come_with_intervals_and_the_confusion_matrix(ahl: Any, publish: Any) -> None:
    publish("pets")
    done = ahl("eval", "pets", "--data", "pets.csv")
    assert done.code == 0
    assert done.out.startswith("pets@1 on pets.csv: 61 rows, text-classification")
    lines = {line.split()[0]: line.split() for line in done.out.splitlines() if line.strip()}
    assert lines["accuracy"][1] == "0.9836"
    assert lines["accuracy"][3] == "to"
    assert lines["dog"][1:] == ["1", "20", "0"]


def test_the_scores_are_recorded_beside_the_version_and_it_is_the_same(
    ahl: Any, publish: Any, registry: Registry
) -> None:
    version = publish("pets")
    assert ahl("eval", "pets", "--data", "pets.csv").code == 0
    (record,), problems = EvaluationStore.open(registry.home).of(version)
    assert problems == []
    assert (record.version, record.task) == ("pets@1", "text-classification")
    assert (record.dataset.id, record.dataset.rows) == ("pets.csv", 61)
    accuracy = record.metrics[0]
    assert (accuracy.name, accuracy.value, accuracy.n) == ("accuracy", pytest.approx(60 / 61), 61)
    assert record.details["confusion"] == [[20, 0, 0], [1, 20, 0], [0, 0, 20]]
    assert "no pet at all" not in record.model_dump_json()
    assert registry.resolve("pets@1") == version


def test_nothing_is_recorded_when_it_is_not_wanted(
    ahl: Any, publish: Any, registry: Registry
) -> None:
    version = publish("pets")
    assert ahl("eval", "pets", "--data", "pets.csv", "--no-record").code == 0
    assert EvaluationStore.open(registry.home).of(version) == ([], [])


def test_two_versions_side_by_side(ahl: Any, publish: Any, registry: Registry) -> None:
    first, second = publish("blind"), publish("pets")
    done = ahl("eval", "blind", "pets", "--data", "pets.csv", "--metric", "accuracy")
    assert done.code == 0
    (words,) = (line.split() for line in done.out.splitlines() if "accuracy" in line)
    assert words[:4] == ["accuracy", "0.6557", "0.9836", "+0.3279"]
    assert words[-2:] == ["1.91e-06", "*"]  # 20 rows that only one has right: 2 / 2**20
    assert "McNemar, exact" in done.out
    store = EvaluationStore.open(registry.home)
    assert [len(store.of(version)[0]) for version in (first, second)] == [1, 1]


def test_as_json(ahl: Any, publish: Any) -> None:
    publish("blind"), publish("pets")
    done = ahl("eval", "blind", "pets", "--data", "pets.csv", "--json")
    values = json.loads(done.out)
    assert (values["rows"], values["task"]) == (61, "text-classification")
    assert [version["ref"] for version in values["versions"]] == ["blind@1", "pets@1"]
    assert values["versions"][0]["metrics"][0]["name"] == "accuracy"
    assert {c["metric"] for c in values["comparisons"]} >= {"accuracy", "macro_f1", "auc"}


def test_of_many_labels_the_most_confused_are_named(ahl: Any, publish: Any) -> None:
    publish("many")
    rows = [f"my pet{i},pet{i}" for i in range(10)] + [f"{i} unknown,pet7" for i in range(3)]
    Path("many.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    done = ahl("eval", "many", "--data", "many.csv")
    assert done.code == 0
    assert done.out.split()[-3:] == ["pet7", "pet0", "3"]


def test_tags(ahl: Any, publish: Any) -> None:
    publish("tags", "token-classification", "echo-tags")
    rows = [
        {"tokens": ["Ada", "met", "Bob"], "ner": ["B-PER", "O", "B-PER"]},
        {"tokens": ["Rain", "fell"], "ner": ["O", "O"]},
    ]
    Path("tags.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    columns = ("--column", "words=tokens", "--column", "tags=ner")
    done = ahl("eval", "tags", "--data", "tags.jsonl", *columns)
    assert (done.code, done.err) == (0, "")
    lines = {line.split()[0]: line.split() for line in done.out.splitlines() if line.strip()}
    assert lines["span_f1"][1] == "0.8000"
    assert lines["B-PER"][1:] == ["0.667", "1.000", "0.800", "2"]


def test_rows_that_cannot_be_answered_are_left_out_and_counted(ahl: Any, publish: Any) -> None:
    publish("pets")
    Path("holes.csv").write_text("text,label\nmy cat,cat\n,dog\nmy dog,\nmy dog,dog\nmy dog,dog\n")
    done = ahl("eval", "pets", "--data", "holes.csv")
    assert "3 rows, text-classification" in done.out, "duplicates are scored"
    assert "note: rows left out for empty text: 1" in done.err
    assert "note: rows left out for missing label: 1" in done.err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--metric", "acuracy"], "unknown metric 'acuracy'"),
        (["--metric", "bleu"], "'bleu' is not one of text-classification"),
        (["--column", "words"], "--column: give each role once"),
        (["--label", "nonesuch"], "no column 'nonesuch'"),
        (["--form", "alpaca"], "'form' means nothing to rows of labelled-text"),
    ],
)
def test_mistakes_of_the_user(ahl: Any, publish: Any, words: list[str], problem: str) -> None:
    publish("pets")
    done = ahl("eval", "pets", "--data", "pets.csv", *words)
    assert done.code == 2
    assert problem in done.err
    assert done.out == ""


def test_labels_that_the_model_does_not_know(ahl: Any, publish: Any) -> None:
    publish("pets")
    Path("more.csv").write_text("text,label\nmy cat,cat\nmy fox,fox\nmy cats,cats\n")
    done = ahl("eval", "pets", "--data", "more.csv")
    assert done.code == 2
    assert "does not know 2 of the data's labels: 'cats', 'fox'" in done.err
    assert "did you mean 'cat'?" in done.err


def test_versions_of_two_tasks_are_not_compared(ahl: Any, publish: Any) -> None:
    publish("pets"), publish("tags", "token-classification", "echo-tags")
    done = ahl("eval", "pets", "tags", "--data", "pets.csv")
    assert done.code == 2
    assert "pets@1 does text-classification and tags@1 does token-classification" in done.err


def test_scores_of_a_registry_that_may_not_be_written_are_told_all_the_same(
    ahl: Any, publish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish("pets")

    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("adapterhub_lite_registry.attachments.Attachments.put", refuse)
    done = ahl("eval", "pets", "--data", "pets.csv")
    assert done.code == 0
    assert "accuracy" in done.out
    assert "warning: pets@1: not recorded" in done.err
