"""The JSON Schema of a merge recipe: with the parameters of every installed strategy."""

import json
from typing import Any

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.recipes.merge import MergeRecipe
from adapterhub_lite.recipes.schema import DIALECT, name_schema, own_schema
from adapterhub_lite.specs import MergeSpec, Params

KIND = "strategy"
ALONE = {
    "MergeInput": "A model alone, without parameters.",
    "TokenizerSection": "Its source alone.",
}
"""What a string alone may stand for."""


def merge_schema(catalogue: Catalogue) -> dict[str, Any]:
    """Return the schema of a merge recipe of ours; mergekit's YAML has none.

    A strategy is a name, or a mapping whose other keys are its own parameters and those of each
    model; a model is a reference, or a mapping whose other keys are parameters of some strategy.
    """
    text = json.dumps(MergeRecipe.model_json_schema())
    schema = json.loads(text.replace("#/$defs/PartChoice", "#/$defs/Strategy"))
    definitions = schema["$defs"]
    del definitions["PartChoice"]
    specs = [catalogue.strategy(offer.spec.name) for offer in catalogue.usable(KIND)]
    choices = [_strategy_schema(spec, definitions) for spec in specs]
    definitions["Strategy"] = {
        "description": "How models become one: a name, or a mapping with its parameters.",
        "anyOf": [{"type": "string", "enum": [spec.name for spec in specs]}, *choices],
    }
    _close(definitions["MergeInput"], specs)
    for name, description in ALONE.items():
        alone = {"type": "string", "minLength": 1, "description": description}
        definitions[name] = {
            "description": definitions[name]["description"],
            "anyOf": [alone, definitions[name]],
        }
    return {"$schema": DIALECT, **schema, "title": "adapterhub-lite merge recipe"}


def _close(model: dict[str, Any], specs: list[MergeSpec]) -> None:
    """Let a model have the parameters of models alone, and either a reference or a stage."""
    for spec in specs:
        own = own_schema(KIND, f"{spec.name}-model", spec.model_params).get("properties", {})
        for name, found in own.items():
            model["properties"].setdefault(name, {"description": found.get("description", "")})
    model["additionalProperties"] = False
    model["oneOf"] = [{"required": ["ref"]}, {"required": ["stage"]}]


def _strategy_schema(spec: MergeSpec, definitions: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for role, params in (("merge", spec.params), ("model", spec.model_params)):
        found |= _parameters(f"{spec.name}-{role}", params, definitions)
    return {
        "title": spec.name,
        "description": spec.summary,
        "type": "object",
        "properties": {"name": name_schema(KIND, spec.name), **found},
        "required": ["name"],
        "additionalProperties": False,
    }


def _parameters(
    name: str, params: type[Params], definitions: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    schema = own_schema(KIND, name, params)
    definitions |= schema.get("$defs", {})
    return {key: _by_place(value) for key, value in schema.get("properties", {}).items()}


def _by_place(value: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter: a value, a gradient over layers, or one for each part."""
    about: dict[str, Any] = {k: value[k] for k in ("description", "default") if k in value}
    plain = {key: found for key, found in value.items() if key not in about}
    gradient = {"type": "array", "items": plain, "minItems": 1}
    each = {"type": "object", "additionalProperties": {"anyOf": [plain, gradient]}}
    return {**about, "anyOf": [plain, gradient, each]}
