"""The JSON Schema of a composition's recipe: with the parameters of every installed composition."""

import json
from typing import Any

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.recipes.compose import ComposeRecipe
from adapterhub_lite.recipes.schema import DIALECT, name_schema, own_schema
from adapterhub_lite.specs import CompositionSpec

KIND = "composition"


def compose_schema(catalogue: Catalogue) -> dict[str, Any]:
    """Return the schema of a composition's recipe.

    A composition is a name, or a mapping whose other keys are its own parameters; a member is a
    reference, or a mapping whose other keys are parameters that some composition gives its members.
    """
    text = json.dumps(ComposeRecipe.model_json_schema())
    schema = json.loads(text.replace("#/$defs/PartChoice", "#/$defs/Composition"))
    definitions = schema["$defs"]
    del definitions["PartChoice"]
    specs = [catalogue.composition(offer.spec.name) for offer in catalogue.usable(KIND)]
    definitions["Composition"] = {
        "description": "How the members act together: a name, or a mapping with its parameters.",
        "anyOf": [
            {"type": "string", "enum": [spec.name for spec in specs]},
            *(_composition_schema(spec, definitions) for spec in specs),
        ],
    }
    definitions["ComposeMember"] = _member_schema(definitions, specs)
    return {"$schema": DIALECT, **schema, "title": "adapterhub-lite composition recipe"}


def _composition_schema(spec: CompositionSpec, definitions: dict[str, Any]) -> dict[str, Any]:
    own = own_schema(KIND, spec.name, spec.params)
    definitions |= own.get("$defs", {})
    return {
        "title": spec.name,
        "description": spec.summary,
        "type": "object",
        "properties": {"name": name_schema(KIND, spec.name), **own.get("properties", {})},
        "required": ["name", *own.get("required", [])],
        "additionalProperties": False,
    }


def _member_schema(definitions: dict[str, Any], specs: list[CompositionSpec]) -> dict[str, Any]:
    """Return the schema of a member, with the parameters that any composition gives one."""
    member = definitions["ComposeMember"]
    taken: dict[str, list[dict[str, Any]]] = {}
    for spec in specs:
        own = own_schema(KIND, f"{spec.name}-member", spec.member_params)
        definitions |= own.get("$defs", {})
        for name, found in own.get("properties", {}).items():
            taken.setdefault(name, []).append(found)
    for name, choices in taken.items():
        several = {"description": choices[0].get("description", ""), "anyOf": choices}
        member["properties"][name] = choices[0] if len(choices) == 1 else several
    alone = {"type": "string", "minLength": 1, "description": "A reference alone."}
    closed = {**member, "additionalProperties": False}
    return {"description": member["description"], "anyOf": [alone, closed]}
