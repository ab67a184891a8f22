"""Specs are frozen, and cost nothing to import."""

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from pydantic import ValidationError

from adapterhub_lite.errors import AdapterHubError
from adapterhub_lite.plugins import load_catalogue
from adapterhub_lite.specs import MethodSpec

ROOT = Path(__file__).parents[3]
HEAVY = {
    "datasets",
    "huggingface_hub",
    "matplotlib",
    "numpy",
    "pandas",
    "peft",
    "pyarrow",
    "rich",
    "safetensors",
    "scipy",
    "sentence_transformers",
    "setfit",
    "sklearn",
    "torch",
    "transformers",
}
PLUGINS = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/__init__.py"))


def imported_by(statements: str) -> set[str]:
    """Run statements in a fresh interpreter; return the top-level packages it then holds."""
    code = f"{statements}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


@pytest.mark.parametrize(
    "statements",
    [
        "import adapterhub_lite",
        "import adapterhub_lite.specs, adapterhub_lite.hookspecs, adapterhub_lite.catalogue",
        "import adapterhub_lite.protocols, adapterhub_lite.recipes, adapterhub_lite.recipes.schema",
        f"import {', '.join(PLUGINS)}",
        "from adapterhub_lite.plugins import load_catalogue; load_catalogue().listing()",
    ],
)
def test_contracts_and_plugins_import_nothing_heavy(statements: str) -> None:
    assert imported_by(statements) & HEAVY == set()


def test_the_guard_would_notice() -> None:
    assert "numpy" in imported_by("import numpy")


def test_a_spec_is_frozen() -> None:
    spec = MethodSpec(name="x", summary="")
    with pytest.raises(FrozenInstanceError):
        spec.name = "y"  # type: ignore[misc]
    with pytest.raises((AttributeError, TypeError)):
        spec.other = "y"  # type: ignore[attr-defined]


def test_params_are_frozen_and_strict() -> None:
    params = load_catalogue(first_party_only=True).method("full").params()
    with pytest.raises(ValidationError, match="frozen"):
        params.layers = 3  # type: ignore[attr-defined]
    with pytest.raises(ValidationError, match="Extra inputs"):
        type(params)(layer=3)  # type: ignore[call-arg]


REQUIRED = {("method", "fusion"): {"adapters": ["one@1", "other@2"]}}
"""Values of parameters that have no default, and are no numbers."""


def first_party_params() -> list[tuple[str, str]]:
    catalogue = load_catalogue(first_party_only=True)
    return [
        (offer.kind, offer.spec.name) for offer in catalogue.offers if hasattr(offer.spec, "params")
    ]


@pytest.mark.parametrize(("kind", "name"), first_party_params())
def test_params_have_help_and_survive_json(kind: str, name: str) -> None:
    model = load_catalogue(first_party_only=True).offer(kind, name).spec.params  # type: ignore[union-attr]
    assert [key for key, field in model.model_fields.items() if not field.description] == []
    values = REQUIRED.get((kind, name), {})
    required = {
        f.alias or key: values.get(key, 0.5)
        for key, f in model.model_fields.items()
        if f.is_required()
    }
    params = model.model_validate(required)
    assert model.model_validate_json(params.model_dump_json()) == params


def test_every_spec_says_what_it_is_in_a_line() -> None:
    for offer in load_catalogue(first_party_only=True).offers:
        assert offer.spec.summary.endswith("."), offer
        assert "\n" not in offer.spec.summary, offer


def test_every_preset_names_parts_that_exist_with_parameters_they_take() -> None:
    catalogue = load_catalogue(first_party_only=True)
    for name in catalogue.names("preset"):
        for kind, part in catalogue.preset(name).recipe.items():
            params = {key: value for key, value in part.items() if key != "name"}
            try:
                spec = catalogue.offer(kind, part["name"]).spec
            except AdapterHubError as error:
                pytest.fail(f"preset {name}: {error}")
            spec.params.model_validate(params)  # type: ignore[union-attr]
