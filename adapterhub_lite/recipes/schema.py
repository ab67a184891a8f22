"""The JSON Schema of a recipe, for editors: with the parameters of every installed plugin."""

from typing import Any

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.recipes.train import TrainRecipe
from adapterhub_lite.specs import LoaderSpec, MethodSpec, ObjectiveSpec, Params

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def train_schema(catalogue: Catalogue) -> dict[str, Any]:
    """Return the schema of a training recipe.

    Each of loader, method and objective is a name, or a mapping whose other keys are that
    plugin's own parameters with their help, types and defaults.
    """
    schema = TrainRecipe.model_json_schema()
    schema = {"$schema": DIALECT, **schema, "title": "adapterhub-lite training recipe"}
    schema["$defs"].pop("PartChoice", None)
    for kind in ("loader", "method", "objective"):
        schema["properties"][kind] = _part_schema(catalogue, kind, schema)
    schema["properties"]["preset"]["anyOf"] = [
        {"type": "string", "enum": catalogue.names("preset")},
        {"type": "null"},
    ]
    return schema


def _part_schema(catalogue: Catalogue, kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    names = catalogue.names(kind)
    choices: list[dict[str, Any]] = [{"type": "string", "enum": names}]
    for name in names:
        spec = catalogue.offer(kind, name).spec
        assert isinstance(spec, LoaderSpec | MethodSpec | ObjectiveSpec), "these take parameters"
        choices.append(_params_schema(name, spec.summary, spec.params))
    described = {"description": schema["properties"][kind].get("description", "")}
    return {**described, "anyOf": [*choices, {"type": "null"}], "default": None}


def _params_schema(name: str, summary: str, params: type[Params]) -> dict[str, Any]:
    schema: dict[str, Any] = params.model_json_schema()
    properties = {"name": {"const": name}, **schema.get("properties", {})}
    schema |= {
        "title": name,
        "description": summary,
        "properties": properties,
        "required": ["name", *schema.get("required", [])],
        "additionalProperties": False,
    }
    return schema
