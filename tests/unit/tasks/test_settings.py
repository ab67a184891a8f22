"""What a version keeps is read strictly, and every objective is offered with documented params."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from adapterhub_lite.errors import IntegrityError
from adapterhub_lite.finetuning.params import TrainerParams
from adapterhub_lite_tasks import adapterhub_objectives
from adapterhub_lite_tasks.settings import (
    ClassifierSettings,
    RegressorSettings,
    Settings,
    read_settings,
    write_settings,
)

SPECS = {spec.name: spec for spec in adapterhub_objectives()}
CLASSIFIER = ClassifierSettings(labels=("a", "é"), multi_label=False, threshold=0.5, max_length=9)


def test_settings_come_back_as_they_were(tmp_path: Path) -> None:
    write_settings(tmp_path, CLASSIFIER)
    assert read_settings(tmp_path, ClassifierSettings) == CLASSIFIER


@pytest.mark.parametrize(
    "change",
    [
        {"labels": []},
        {"labels": ["a", 1]},
        {"threshold": 1.5},
        {"threshold": "0.5"},
        {"max_length": 0},
        {"max_length": 9.5},
        {"objective": "regression"},
        {"module": "os"},
    ],
)
def test_changed_settings_are_an_integrity_error(tmp_path: Path, change: dict[str, Any]) -> None:
    values = {**CLASSIFIER.model_dump(mode="json"), **change}
    (tmp_path / "task.json").write_text(json.dumps(values))
    with pytest.raises(IntegrityError, match=next(iter(change))):
        read_settings(tmp_path, ClassifierSettings)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"mean": NaN, "deviation": 1, "max_length": 8}'])
def test_what_is_no_settings_is_an_integrity_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "task.json").write_text(text)
    with pytest.raises(IntegrityError, match=r"task\.json"):
        read_settings(tmp_path, RegressorSettings)


def test_a_missing_file_is_an_integrity_error(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="cannot be read"):
        read_settings(tmp_path, Settings)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_objective_is_documented_and_there(spec: Any) -> None:
    assert issubclass(spec.params, TrainerParams)
    assert all(field.description for field in spec.params.model_fields.values())
    assert spec.params() == spec.params.model_validate(spec.params().model_dump())
    module, _, name = spec.implementation.partition(":")
    objective = getattr(import_module(module), name)()
    assert all(callable(getattr(objective, n)) for n in ("check", "head", "fit", "save", "load"))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("classification", {"class_weights": "balanced", "resample": "balanced"}),
        ("question-answering", {"max_length": 64, "stride": 40}),
        ("sft", {"max_length": 16, "min_prompt": 12}),
        ("sft", {"num_beams": 2, "sampling_temperature": 1.0}),
        ("embedding", {"batch_size": 1}),
    ],
)
def test_params_that_exclude_each_other_are_refused(name: str, values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SPECS[name].params(**values)
