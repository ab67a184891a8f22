"""Read a recipe from YAML, lay ``--set`` over it, and validate it with helpful errors."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from adapterhub_lite.errors import RecipeError, nearest_name

MAX_RECIPE_BYTES = 1024 * 1024
PARTS: Final = ("loader", "method", "objective", "strategy", "composition")
"""Fields that are a plugin's name, or a mapping with the name and its parameters."""

M = TypeVar("M", bound=BaseModel)


def read_recipe(path: Path) -> dict[str, Any]:
    """Read a recipe's YAML; raises RecipeError when it is absent, no YAML, or no mapping."""
    content = read_documents(path)
    if len(content) > 1:
        raise RecipeError(f"{path} holds {len(content)} documents: a recipe is one")
    if not content or not isinstance(content[0], dict):
        raise RecipeError(f"{path} is no recipe: a recipe is a mapping of keys to values")
    return content[0]


def read_documents(path: Path) -> list[Any]:
    """Read every document of a YAML file; raises RecipeError when it is absent or no YAML."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_RECIPE_BYTES + 1)
        if len(raw) > MAX_RECIPE_BYTES:
            raise RecipeError(f"{path} is over 1 MiB: that is no recipe")
        return _parse_documents(raw.decode("utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"no recipe file {path}") from None
    except IsADirectoryError:
        raise RecipeError(f"{path} is a folder, not a recipe file") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 text (byte {error.start})") from error
    except _NotYamlError as error:
        raise RecipeError(f"{path} is no valid YAML: {error}") from error


class _NotYamlError(Exception):
    """A text is not YAML that a recipe may hold; the message is one line."""


def _parse_yaml(text: str) -> Any:
    """Read one document of plain YAML; raises _NotYamlError."""
    documents = _parse_documents(text)
    if len(documents) > 1:
        raise _NotYamlError("it has more than one document")
    return documents[0] if documents else None


def _parse_documents(text: str) -> list[Any]:
    """Read plain YAML: no tags that make objects, and no key twice; raises _NotYamlError."""
    import yaml

    try:
        return list(yaml.load_all(text, Loader=_strict_loader()))
    except yaml.YAMLError as error:
        raise _NotYamlError(_yaml_problem(error)) from error
    except RecursionError as error:
        raise _NotYamlError("it is nested too deeply") from error
    except (ValueError, LookupError, AttributeError) as error:
        # PyYAML lets these out for scalars that only look like a date or a number.
        raise _NotYamlError(f"a value cannot be read ({error})") from error


def _strict_loader() -> type[Any]:
    """Return a safe loader that refuses a key given twice, of which YAML keeps the last."""
    import yaml

    class StrictLoader(yaml.SafeLoader):
        pass

    def construct_mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # refused below: a mapping or a list cannot be a key
            if (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is given twice", key.start_mark
                )
            seen.add((key.tag, key.value))
        return loader.construct_mapping(node, deep=True)

    StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, construct_mapping)
    return StrictLoader


def _yaml_problem(error: Exception) -> str:
    problem = (getattr(error, "problem", None) or str(error).splitlines()[0]).removeprefix("but ")
    mark = getattr(error, "problem_mark", None)
    return f"{problem} (line {mark.line + 1}, column {mark.column + 1})" if mark else problem


def apply_overrides(recipe: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Return the recipe with each ``a.b=value`` laid over it; values are read as YAML.

    A part that is a bare name (``method: lora``) becomes a mapping when a key below it is set.
    Raises RecipeError for an override that has no ``=`` or goes through a value.
    """
    result = dict(recipe)
    for override in overrides:
        path, equals, text = override.partition("=")
        keys = [key.strip() for key in path.split(".")]
        if not equals or not all(keys):
            raise RecipeError(f"--set {override!r} is not of the form key=value")
        try:
            value = _parse_yaml(text)
        except _NotYamlError as error:
            raise RecipeError(f"--set {override!r}: {error}", field=".".join(keys)) from error
        _set_path(result, keys, value, override)
    return result


def _set_path(target: dict[str, Any], keys: Sequence[str], value: Any, override: str) -> None:
    """Set a value, copying the mappings on the way to it and no others: YAML aliases share them."""
    *above, last = keys
    for depth, key in enumerate(above, 1):
        below = target.get(key)
        if below is None:
            below = {}
        elif isinstance(below, str) and depth == 1 and key in PARTS:
            below = {"name": below}
        elif not isinstance(below, Mapping):
            field = ".".join(keys[:depth])
            raise RecipeError(f"--set {override!r}: {field!r} has no keys below it", field=field)
        target[key] = dict(below)
        target = target[key]
    target[last] = value


def validate(
    model: type[M], values: Mapping[str, Any], *, where: str = "", beside: Iterable[str] = ()
) -> M:
    """Validate values against a model.

    Raises RecipeError for the first fault, naming the dotted field; for an unknown key the hint
    names the nearest known one. ``where`` is put before field names ("method"); ``beside`` are keys
    that may stand beside the model's own, and were taken out.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _recipe_error(model, error.errors(), where, beside) from error


def _recipe_error(
    model: type[BaseModel], faults: list[ErrorDetails], where: str, beside: Iterable[str]
) -> RecipeError:
    by_field: dict[str, list[ErrorDetails]] = {}
    for fault in faults:
        by_field.setdefault(_dotted(model, fault, where), []).append(fault)
    # An unknown key explains more than the field that is missing because of it.
    field, fault = min(
        ((field, found[0]) for field, found in by_field.items()),
        key=lambda item: item[1]["type"] != "extra_forbidden",
    )
    more = f" (and {len(by_field) - 1} more)" if len(by_field) > 1 else ""
    if fault["type"] == "extra_forbidden":
        path = [str(part) for part in fault["loc"]]
        known = _known_keys(model, path[:-1]) + (list(beside) if len(path) == 1 else [])
        near = nearest_name(path[-1], known)
        hint = f"did you mean {near!r}?" if near else f"known keys: {', '.join(sorted(known))}"
        return RecipeError(f"unknown key {field!r}{more}", field=field, hint=hint)
    if fault["type"] == "missing":
        return RecipeError(f"{field!r} is missing{more}", field=field)
    messages = dict.fromkeys(_message(found) for found in by_field[field])  # one for each type
    given = fault.get("input")
    shown = f", not {given!r}" if isinstance(given, str | int | float | bool) else ""
    prefix = f"{field!r}: " if field else ""
    return RecipeError(f"{prefix}{' or '.join(messages)}{shown}{more}", field=field)


def _message(fault: ErrorDetails) -> str:
    if fault["type"] in ("model_type", "dict_type"):
        return "should be a mapping of keys to values"
    text = str(fault["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    return text[:1].lower() + text[1:]


def _dotted(model: type[BaseModel], fault: ErrorDetails, where: str) -> str:
    """Return a fault's field as the recipe spells it: pydantic's own adds the types it tried."""
    *above, last = fault["loc"] or ("",)
    current: type[BaseModel] | None = model
    path = [where]
    for part in above:
        if isinstance(part, int):
            path.append(str(part))
        elif current is not None and part in (fields := _fields(current)):
            path.append(part)
            current = _nested_model(fields[part].annotation)
    named = fault["type"] in ("extra_forbidden", "invalid_key", "missing")
    if named or isinstance(last, int) or (current and last in _fields(current)):
        path.append(str(last))
    return ".".join(part for part in path if part)


def _known_keys(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Return the keys of the model at ``path``, walking through nested models."""
    for part in path:
        if part.isdigit():  # a place in a list, whose model its field names
            continue
        field = _fields(model).get(part)
        nested = _nested_model(field.annotation) if field else None
        if nested is None:
            return []
        model = nested
    return list(_fields(model))


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return a model's fields as recipes spell them: Python has no field called ``lambda``."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _nested_model(annotation: Any) -> type[BaseModel] | None:
    """Return the model that an annotation is, or that one of its alternatives is."""
    for choice in (annotation, *get_args(annotation)):
        plain = get_args(choice)[0] if get_origin(choice) is Annotated else choice
        if isinstance(plain, type) and issubclass(plain, BaseModel):
            return plain
    return None
