"""Read a recipe from YAML, lay ``--set`` over it, and validate it with helpful errors."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from adapterhub_lite.errors import RecipeError, nearest_name

MAX_RECIPE_BYTES = 1024 * 1024

M = TypeVar("M", bound=BaseModel)


def read_recipe(path: Path) -> dict[str, Any]:
    """Read a recipe's YAML; raises RecipeError when it is absent, no YAML, or no mapping."""
    import yaml

    try:
        if path.stat().st_size > MAX_RECIPE_BYTES:
            raise RecipeError(f"{path} is over 1 MiB: that is no recipe")
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_strict_loader())  # noqa: S506
    except FileNotFoundError:
        raise RecipeError(f"no recipe file {path}") from None
    except IsADirectoryError:
        raise RecipeError(f"{path} is a folder, not a recipe file") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 text (byte {error.start})") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is no valid YAML: {_yaml_problem(error)}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path} is no recipe: a recipe is a mapping of keys to values")
    return content


def _strict_loader() -> type[Any]:
    """Return a safe loader that refuses a key given twice, of which YAML keeps the last."""
    import yaml

    class StrictLoader(yaml.SafeLoader):
        pass

    def construct_mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
        keys = [loader.construct_object(key) for key, _ in node.value]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                mark = node.value[number][0].start_mark
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", mark
                )
        return loader.construct_mapping(node, deep=True)

    StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, construct_mapping)
    return StrictLoader


def _yaml_problem(error: Exception) -> str:
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    mark = getattr(error, "problem_mark", None)
    return f"{problem} (line {mark.line + 1}, column {mark.column + 1})" if mark else str(problem)


def apply_overrides(recipe: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Return the recipe with each ``a.b=value`` laid over it; values are read as YAML.

    A part that is a bare name (``method: lora``) becomes a mapping when a key below it is set.
    Raises RecipeError for an override that has no ``=`` or goes through a value.
    """
    import yaml

    result: dict[str, Any] = _deep_copy(recipe)
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals or not path.strip():
            raise RecipeError(f"--set {override!r} is not of the form key=value")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise RecipeError(f"--set {override!r}: {_yaml_problem(error)}") from error
        _set_path(result, path.strip().split("."), value, override)
    return result


def _deep_copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _deep_copy(item) for key, item in value.items()}
    return [_deep_copy(item) for item in value] if isinstance(value, list) else value


def _set_path(target: dict[str, Any], keys: Sequence[str], value: Any, override: str) -> None:
    *above, last = keys
    for key in above:
        below = target.setdefault(key, {})
        if isinstance(below, str) and key in ("loader", "method", "objective"):
            below = target[key] = {"name": below}
        if not isinstance(below, dict):
            raise RecipeError(f"--set {override!r}: {key!r} has no keys below it", field=key)
        target = below
    target[last] = value


def validate(model: type[M], values: Mapping[str, Any], *, where: str = "") -> M:
    """Validate values against a model.

    Raises RecipeError for the first fault, naming the dotted field; for an unknown key the hint
    names the nearest known one. ``where`` is put before field names ("method").
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _recipe_error(model, error.errors(), where) from error


def _recipe_error(model: type[BaseModel], faults: list[ErrorDetails], where: str) -> RecipeError:
    # An unknown key explains more than the field that is missing because of it.
    fault = min(faults, key=lambda item: item["type"] != "extra_forbidden")
    path = [str(part) for part in fault["loc"]]
    field = ".".join([where, *path] if where else path)
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    if fault["type"] == "extra_forbidden":
        known = _known_keys(model, path[:-1])
        near = nearest_name(path[-1], known)
        hint = f"did you mean {near!r}?" if near else f"known keys: {', '.join(sorted(known))}"
        return RecipeError(f"unknown key {field!r}{more}", field=field, hint=hint)
    if fault["type"] == "missing":
        return RecipeError(f"{field!r} is missing{more}", field=field)
    message = str(fault["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    given = fault.get("input")
    shown = f", not {given!r}" if isinstance(given, str | int | float | bool) else ""
    prefix = f"{field!r}: " if field else ""
    return RecipeError(f"{prefix}{message}{shown}{more}", field=field)


def _known_keys(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Return the keys of the model at ``path``, walking through nested models."""
    for part in path:
        field = model.model_fields.get(part)
        nested = field.annotation if field else None
        if not (isinstance(nested, type) and issubclass(nested, BaseModel)):
            return []
        model = nested
    return list(model.model_fields)
