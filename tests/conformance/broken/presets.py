"""Presets, each with one fault."""

from typing import Any, Final

from adapterhub_lite.specs import PresetSpec
from tests.conformance.broken.entries import Broken


def _broken(fault: str, name: str, check: str, says: str, *also: str, **recipe: Any) -> Broken:
    spec = PresetSpec(name=name, summary="A preset with one fault.", recipe=recipe)
    return Broken(fault=fault, kind="preset", spec=spec, check=check, says=says, also=also)


BROKEN: Final = (
    _broken(
        "it names a method that is not there",
        "misspelt-method",
        "check_names_resolve",
        "'loar'",
        method={"name": "loar"},
    ),
    _broken(
        "it gives a parameter that the method does not take",
        "misspelt-parameter",
        "check_params_are_valid",
        "'method.rank'",
        method={"name": "lora", "rank": 4},
    ),
    _broken(
        "it trains quantised weights whole",
        "full-in-four-bits",
        "check_a_plan_can_be_made",
        "cannot train on a base that the loader 'nf4' has quantised",
        loader={"name": "nf4"},
        method={"name": "full"},
    ),
)
