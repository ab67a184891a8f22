"""Write ``configs.json``: every PEFT config's fields, from the dataclasses of the installed PEFT.

Run ``python -m adapterhub_lite_peft.generate`` after an upgrade of PEFT.
"""

import json
from dataclasses import MISSING, Field, fields
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import peft
from peft import PeftConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

FILE: Final = Path(__file__).parent / "configs.json"
OWNED: Final = frozenset(field.name for field in fields(PeftConfig))
"""What the pipeline decides itself: the task, the base, the mode."""
SIMPLE: Final = {bool: "bool", int: "int", float: "float", str: "str", NoneType: "null"}


def describe_all() -> dict[str, Any]:
    """Return the table: PEFT's version, and the fields of each of its configs."""
    methods = {
        str(getattr(kind, "value", kind)): describe(config)
        for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()
        if config.__module__.startswith("peft.")
    }
    return {"peft": peft.__version__, "methods": dict(sorted(methods.items()))}


def describe(config: type[Any]) -> dict[str, Any]:
    """Return one config's fields: their types, defaults and help texts."""
    hints = get_type_hints(config)
    return {
        field.name: {
            "types": sorted(set(_type_names(hints[field.name]))),
            "choices": _choices(hints[field.name]),
            "default": _default(field),
            "help": " ".join(str(field.metadata.get("help", "")).split()),
        }
        for field in fields(config)
        if field.name not in OWNED
    }


def _type_names(hint: Any) -> list[str]:
    """Return the names of a type's alternatives; "other" for what a recipe cannot write."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return [name for argument in arguments for name in _type_names(argument)]
    if origin is Literal:
        return ["choice"]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return ["choice"]
    if origin is list and arguments in ((str,), (int,)):
        return [f"list[{SIMPLE[arguments[0]]}]"]
    if origin is dict or hint is dict:
        return ["dict"]
    return [SIMPLE.get(hint, "other")]


def _choices(hint: Any) -> list[str]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return [choice for argument in arguments for choice in _choices(argument)]
    if origin is Literal:
        return [str(argument) for argument in arguments]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return [str(member.value) for member in hint]
    return []


def _default(field: Field[Any]) -> Any:
    value = field.default if field.default is not MISSING else None
    if field.default_factory is not MISSING:
        value = field.default_factory()
    if isinstance(value, Enum):
        return value.value
    return value if isinstance(value, bool | int | float | str | list | dict) else None


def main() -> None:
    """Write the table."""
    text = json.dumps(describe_all(), indent=1, ensure_ascii=False) + "\n"
    FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
