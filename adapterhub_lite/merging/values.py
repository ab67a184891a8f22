"""Parameters as a recipe writes them: a number, a gradient over layers, or one for each part.

A value is resolved for one tensor: by the tensor's name, its role in the model, and its depth.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from adapterhub_lite.errors import RecipeError
from adapterhub_lite.streaming.naming import Role

ROLES: Final[Mapping[str, Role]] = {
    "embeddings": "embeddings",
    "layers": "layer",
    "norm": "norm",
    "head": "head",
}
"""How a recipe calls the roles of tensors; norms inside a layer belong to the layer."""
REST: Final = "rest"
CONTAINS: Final = "contains:"


@dataclass(frozen=True, slots=True)
class Place:
    """A tensor, as parameters see it: ``depth`` is from 0 to 1 inside layers, and None outside."""

    name: str
    role: Role
    depth: float | None


@dataclass(frozen=True, slots=True)
class Missing:
    """What stands for no value: the next level's, or the default, is taken."""


MISSING: Final = Missing()


@dataclass(slots=True)
class Rules:
    """Patterns that were asked and those that hit, so that one which never hits can be told."""

    asked: set[tuple[str, str]] = field(default_factory=set)
    hit: set[tuple[str, str]] = field(default_factory=set)

    def refuse_unused(self) -> list[str]:
        """Raise RecipeError for a pattern that no tensor matches: it would silently do nothing.

        Returns a notice for each that is only a net for what may be there: ``rest``, and parts of
        names as mergekit writes them.
        """
        notices = []
        for where, pattern in sorted(self.asked - self.hit):
            if pattern != REST and not pattern.startswith(CONTAINS):
                raise RecipeError(
                    f"{where!r}: no tensor matches {pattern!r}",
                    field=where,
                    hint="patterns are embeddings, layers, norm, head, rest, a tensor's name, "
                    "a form with *, or /a regular expression/",
                )
            notices.append(f"{where}: no tensor is left for {pattern!r}")
        return notices


def resolve(value: Any, place: Place, where: str, rules: Rules) -> Any:
    """Return a parameter's value for one tensor, or MISSING when no pattern matches it.

    ``where`` names the parameter in errors. Raises RecipeError for a pattern or gradient that
    cannot be read.
    """
    if isinstance(value, Mapping):
        return _by_pattern(list(value.items()), place, where, rules)
    if isinstance(value, Sequence) and not isinstance(value, str):
        if value and all(isinstance(entry, Mapping) for entry in value):
            return _by_pattern([_pair(entry, where) for entry in value], place, where, rules)
        return _gradient(value, place, where)
    return value


def _by_pattern(pairs: Sequence[tuple[str, Any]], place: Place, where: str, rules: Rules) -> Any:
    """The first pattern that matches decides."""
    rules.asked |= {(where, pattern) for pattern, _ in pairs}
    for pattern, value in pairs:
        if matches(pattern, place, where):
            rules.hit.add((where, pattern))
            if isinstance(value, Mapping):
                raise RecipeError(f"{where!r}: patterns cannot be nested", field=where)
            return resolve(value, place, where, rules)
    return MISSING


def _pair(entry: Mapping[str, Any], where: str) -> tuple[str, Any]:
    """Read mergekit's form of a condition, ``{filter: mlp, value: 0.5}``."""
    if unknown := sorted(entry.keys() - {"filter", "value"}):
        raise RecipeError(
            f"{where!r}: unknown key {unknown[0]!r}", field=where, hint="known keys: filter, value"
        )
    if "value" not in entry:
        raise RecipeError(f"{where!r}: a condition has no value", field=where)
    wanted = entry.get("filter")
    return (REST if wanted in (None, "*") else f"{CONTAINS}{wanted}"), entry["value"]


def matches(pattern: str, place: Place, where: str) -> bool:
    """Say whether a pattern is a tensor's role, its name, or a form that fits its name."""
    if pattern == REST:
        return True
    if pattern in ROLES:
        return place.role == ROLES[pattern]
    if pattern.startswith(CONTAINS):
        return pattern.removeprefix(CONTAINS) in place.name
    if len(pattern) > 1 and pattern.startswith("/") and pattern.endswith("/"):
        return _compiled(pattern[1:-1], where).search(place.name) is not None
    if any(mark in pattern for mark in "*?["):
        return fnmatchcase(place.name, pattern)
    return place.name == pattern


def _compiled(text: str, where: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise RecipeError(f"{where!r}: /{text}/ is no regular expression: {error}") from error


def _gradient(values: Sequence[Any], place: Place, where: str) -> float:
    """Interpolate between evenly spaced values, from the first layer to the last.

    What comes before the layers takes the first value, and what comes after them the last.
    """
    if not values or not all(
        isinstance(v, int | float) and not isinstance(v, bool) for v in values
    ):
        raise RecipeError(
            f"{where!r}: a gradient is a list of numbers, the first for the first layer",
            field=where,
        )
    depth = place.depth
    if depth is None:
        depth = 0.0 if place.role == "embeddings" else 1.0
    position = depth * (len(values) - 1)
    below = min(int(position), len(values) - 1)
    above = min(below + 1, len(values) - 1)
    share = position - below
    return float(values[below] * (1 - share) + values[above] * share)
