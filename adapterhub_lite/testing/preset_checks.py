"""The checks of a preset: its names, its parameters, and that its parts fit together."""

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from adapterhub_lite.errors import AdapterHubError, MissingDependencyError, UnknownNameError
from adapterhub_lite.recipes import validate
from adapterhub_lite.specs import PresetSpec
from adapterhub_lite.testing.outcomes import CheckFailedError, NotApplicableError
from adapterhub_lite.testing.sharing import needed
from adapterhub_lite.testing.subject import Subject
from adapterhub_lite.testing.tiny import TINY_ROWS, write_tiny_model

PARTS: Final = ("loader", "method", "objective")
OBJECTIVE: Final = "classification"
"""What a preset without an objective is planned with."""


def check_names_resolve(subject: Subject) -> None:
    """Its recipe names a loader, a method or an objective, each of which is installed.

    The keys are ``loader``, ``method`` and ``objective``, each a mapping with a ``name``.
    """
    recipe = _recipe(subject)
    if not recipe:
        raise CheckFailedError("its recipe is empty")
    for kind, part in recipe.items():
        if kind not in PARTS:
            raise CheckFailedError(
                f"its recipe has the key {kind!r}", hint="use " + ", ".join(PARTS)
            )
        if not isinstance(part, Mapping) or not isinstance(part.get("name"), str):
            raise CheckFailedError(f"{kind} is {part!r}, not a mapping with a name")
        try:
            subject.catalogue.offer(kind, part["name"])
        except UnknownNameError as error:
            raise CheckFailedError(error.message, hint=error.hint) from error


def check_params_are_valid(subject: Subject) -> None:
    """Every part's parameters are those that it takes.

    A recipe with the preset is refused otherwise.
    """
    for kind, part in _known_parts(subject).items():
        spec: Any = subject.catalogue.offer(kind, part["name"]).spec
        params = {key: value for key, value in part.items() if key != "name"}
        try:
            validate(spec.params, params, where=kind)
        except AdapterHubError as error:
            raise CheckFailedError(error.message, hint=error.hint) from error


def check_a_plan_can_be_made(subject: Subject) -> None:
    """A recipe with the preset, a base and rows is a plan: its parts fit together.

    The base is a tiny encoder and the rows are labelled texts; a preset without an objective is
    planned with classification. A method on a quantising loader declares quantised-base.
    """
    from adapterhub_lite import api

    needed(check_params_are_valid, "check_params_are_valid", subject)
    parts = _known_parts(subject)
    objective = parts.get("objective", {"name": OBJECTIVE})
    file = subject.folder / "rows.jsonl"
    lines = (json.dumps({"text": text, "label": label}) + "\n" for text, label in TINY_ROWS)
    file.write_text("".join(lines), encoding="utf-8")
    base = write_tiny_model(subject.folder / "bert")
    recipe = {
        "preset": subject.offer.spec.name,
        "objective": objective,
        "base": str(base),
        "data": {"train": str(file)},
        "device": "cpu",
    }
    registry = api.open_registry(subject.folder / "home")
    try:
        api.plan(recipe, registry=registry, catalogue=subject.catalogue)
    except MissingDependencyError as error:
        raise NotApplicableError(f"{error.message}; {error.hint}") from error
    except AdapterHubError as error:
        raise CheckFailedError(error.message, hint=error.hint) from error


def _recipe(subject: Subject) -> Mapping[str, Any]:
    return cast("PresetSpec", subject.offer.spec).recipe


def _known_parts(subject: Subject) -> dict[str, Mapping[str, Any]]:
    """Return the recipe's parts; raises NotApplicableError when one is not there."""
    needed(check_names_resolve, "check_names_resolve", subject)
    return {kind: dict(part) for kind, part in _recipe(subject).items()}


CHECKS: Final = (check_names_resolve, check_params_are_valid, check_a_plan_can_be_made)
