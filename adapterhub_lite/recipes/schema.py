"""The JSON Schema of a recipe, for editors: with the parameters of every installed plugin."""

from typing import Any

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.recipes.train import TrainRecipe
from adapterhub_lite.specs import LoaderSpec, MethodSpec, ObjectiveSpec, Params

DIALECT = "https://json-schema.org/draft/2020-12/schema"
PARTS = ("loader", "method", "objective")


def train_schema(catalogue: Catalogue) -> dict[str, Any]:
    """Return the schema of a training recipe.

    Each of loader, method and objective is a name, or a mapping whose other keys are that
    plugin's own parameters with their help, types and defaults. With a preset, a part may leave
    its name out. A name that two distributions offer cannot be used, and is left out.
    """
    schema = TrainRecipe.model_json_schema()
    schema = {"$schema": DIALECT, **schema, "title": "adapterhub-lite training recipe"}
    schema["$defs"].pop("PartChoice", None)
    for kind in PARTS:
        schema["properties"][kind] = _part_schema(catalogue, kind, schema)
    schema["properties"]["preset"]["anyOf"] = [
        {"type": "string", "enum": [offer.spec.name for offer in catalogue.usable("preset")]},
        {"type": "null"},
    ]
    with_preset = {"required": ["preset"], "properties": {"preset": {"type": "string"}}}
    return {**schema, "if": with_preset, "else": _without_preset()}


def _without_preset() -> dict[str, Any]:
    """Return what holds without a preset: method and objective are given, and parts are named."""
    named = {"if": {"type": "object"}, "then": {"required": ["name"]}}
    given = {"not": {"type": "null"}}
    return {
        "required": ["method", "objective"],
        "properties": {"loader": named, "method": named | given, "objective": named | given},
    }


def _part_schema(catalogue: Catalogue, kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    offers = catalogue.usable(kind)
    choices: list[dict[str, Any]] = [
        {"type": "string", "enum": [offer.spec.name for offer in offers]}
    ]
    for offer in offers:
        assert isinstance(offer.spec, LoaderSpec | MethodSpec | ObjectiveSpec), "usable checks it"
        part = _params_schema(kind, offer.spec)
        schema["$defs"] |= part.pop("$defs", {})
        choices.append(part)
    described = {"description": schema["properties"][kind].get("description", "")}
    return {**described, "anyOf": [*choices, {"type": "null"}], "default": None}


def _params_schema(kind: str, spec: LoaderSpec | MethodSpec | ObjectiveSpec) -> dict[str, Any]:
    """Return the schema of one plugin's part."""
    schema = own_schema(kind, spec.name, spec.params)
    required = schema.pop("required", [])
    return schema | {
        "title": spec.name,
        "description": spec.summary,
        "properties": {"name": name_schema(kind, spec.name), **schema.get("properties", {})},
        # A preset may name the part, and then gives what the plugin requires as well.
        "dependentRequired": {"name": required},
        "additionalProperties": False,
    }


def own_schema(kind: str, name: str, params: type[Params]) -> dict[str, Any]:
    """Return the schema of a plugin's parameters; its definitions are named apart from others."""
    prefix = f"{kind}-{name}-".replace("~", "~0").replace("/", "~1")
    schema: dict[str, Any] = params.model_json_schema(ref_template=f"#/$defs/{prefix}{{model}}")
    if "$defs" in schema:
        nested = schema["$defs"].items()
        schema["$defs"] = {f"{kind}-{name}-{inner}": found for inner, found in nested}
    return schema


def name_schema(kind: str, name: str) -> dict[str, Any]:
    """Return what a part's ``name`` has to be."""
    return {"const": name, "description": f"The name of the {kind}."}
