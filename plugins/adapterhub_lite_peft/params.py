"""Params models of all PEFT methods, made from the generated table; imports nothing heavy."""

import json
from collections.abc import Mapping, Sequence
from functools import cache, reduce
from importlib.resources import files
from operator import or_
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import ConfigDict, Field, create_model

from adapterhub_lite.specs import Params, TargetRole
from adapterhub_lite_peft.table import ENTRIES, HIDDEN, TYPES, Entry, Exact

LARGEST: Final = 1_000_000
"""No count in a recipe is larger; seeds and token numbers are no counts."""
WRITABLE: Final[Mapping[str, Any]] = {
    "bool": bool,
    "int": Annotated[int, Field(ge=-LARGEST, le=LARGEST)],
    "float": float,
    "str": Annotated[str, Field(max_length=1000)],
    "list[str]": list[Annotated[str, Field(max_length=1000)]],
    "list[int]": list[Exact],
    "dict": dict[str, Exact | float | list[Exact]],
}
"""The table's types that a recipe can write."""


class PeftParams(Params):
    """Base of the methods' params models; the names of the fields are PEFT's own."""

    model_config = ConfigDict(defer_build=True, protected_namespaces=())

    peft_type: ClassVar[str] = ""

    def open_targets(self) -> Mapping[str, Sequence[TargetRole]]:
        """Return the lists of modules that a recipe left to PEFT, and what it takes for them."""
        roles = sorted(ENTRIES[self.peft_type].roles)
        values = self.model_dump()
        if not roles or values.get("target_modules") or values.get("target_parameters"):
            return {}
        wanted: dict[str, Sequence[TargetRole]] = {
            "target_modules": roles,
            "feedforward_modules": ("feed-forward-output",),
        }
        return {name: wanted[name] for name in wanted if name in values and not values[name]}


@cache
def read_table() -> Mapping[str, Mapping[str, Any]]:
    """Read the fields of every config, as :mod:`adapterhub_lite_peft.generate` wrote them."""
    text = (files("adapterhub_lite_peft") / "configs.json").read_text(encoding="utf-8")
    table: Mapping[str, Mapping[str, Any]] = json.loads(text)["methods"]
    return table


@cache
def params_model(peft_type: str) -> type[PeftParams]:
    """Make the params model of one method from the fields of its PEFT config."""
    entry = ENTRIES[peft_type]
    shown = {
        name: (_type(name, described), _field(name, described, entry))
        for name, described in read_table()[peft_type].items()
        if _is_shown(name, described, entry)
    }
    words = "".join(word.capitalize() for word in peft_type.split("_"))
    model: type[PeftParams] = create_model(  # type: ignore[call-overload]
        f"{words}Params", __base__=PeftParams, __doc__=entry.summary, **shown
    )
    model.peft_type = peft_type
    return model


def _is_shown(name: str, described: Mapping[str, Any], entry: Entry) -> bool:
    if name in TYPES:
        return name not in entry.hidden
    return name not in HIDDEN | entry.hidden and "other" not in described["types"]


def _type(name: str, described: Mapping[str, Any]) -> Any:
    may_be_absent = "null" in described["types"] or described["default"] is None
    known = TYPES[name] if name in TYPES else _described_type(name, described)
    return known | None if may_be_absent else known


def _described_type(name: str, described: Mapping[str, Any]) -> Any:
    names = set(described["types"]) - {"null"}
    if "choice" in names:
        # PEFT writes some of its enumerations as "or any text"; only the members are meant
        names -= {"str"}
    types = [WRITABLE[kind] for kind in sorted(names - {"choice"})]
    if "int" in names and "seed" in name:
        types = [Exact]
    if "choice" in names:
        types.append(Literal[tuple(described["choices"])])
    return reduce(or_, types)


def _field(name: str, described: Mapping[str, Any], entry: Entry) -> Any:
    default = entry.defaults.get(name, described["default"])
    return Field(default=default, description=described["help"] or f"PEFT's {name}.")
