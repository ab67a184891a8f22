"""What ``ahl strategies show`` tells of a merge strategy beyond its parameters."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from adapterhub_lite.specs import MergeSpec, Params

BASES: Final[Mapping[str, str]] = {
    "needed": "needed: the model that all were trained from",
    "optional": "optional: with one, task vectors are merged instead of weights",
    "unused": "unused",
}
SHOWN_MODELS: Final = ("./first", "./second", "./third", "./fourth")
TELLING: Final[Mapping[str, tuple[Any, ...]]] = {
    "weight": (0.6, 0.4, 0.3, 0.2),
    "density": (0.5,) * len(SHOWN_MODELS),
}
"""Parameters that an example gives though they have defaults: a value a model."""


def strategy_facts(spec: "MergeSpec") -> Iterator[tuple[str, str]]:
    """Yield formula, base, number of models, and each capability with what it means."""
    from adapterhub_lite.specs import MERGE_CAPABILITIES

    yield "formula", spec.formula
    yield "base", "optional: adapters know theirs" if _merges_factors(spec) else BASES[spec.base]
    yield "models", model_count(spec)
    for number, capability in enumerate(sorted(spec.capabilities)):
        yield "" if number else "traits", f"{capability}: {MERGE_CAPABILITIES[capability]}"


def _merges_factors(spec: "MergeSpec") -> bool:
    return "low-rank" in spec.capabilities


def model_count(spec: "MergeSpec") -> str:
    """Spell how many models a strategy merges: ``2``, ``2 or more``, ``2 to 4``."""
    least, most = spec.models
    if least == most:
        return str(least)
    return f"{least} to {most}" if most else f"{least} or more"


def example_recipe(spec: "MergeSpec") -> dict[str, Any]:
    """Return a recipe that uses the strategy, with a value for each parameter without a default."""
    count = max(spec.models[0], min(2, spec.models[1] or 2))
    return {
        **({"base": "./base"} if spec.base == "needed" else {}),
        "strategy": {"name": spec.name, **_values(spec.params, 0)},
        "models": [
            {"ref": ref, **_values(spec.model_params, number), **_data(spec, ref)}
            for number, ref in enumerate(SHOWN_MODELS[:count])
        ],
        **({"output": {"kind": "adapter"}} if _merges_factors(spec) else {}),
    }


def _data(spec: "MergeSpec", ref: str) -> dict[str, Any]:
    return {"data": {"train": f"{ref}.csv"}} if "needs-data" in spec.capabilities else {}


def example_text(spec: "MergeSpec") -> str:
    """Return the example recipe as YAML."""
    import yaml

    return str(yaml.safe_dump(example_recipe(spec), sort_keys=False, allow_unicode=True,
                              default_flow_style=None, width=100))  # fmt: skip


def _values(params: "type[Params]", model: int) -> dict[str, Any]:
    return {
        field.alias or name: TELLING[name][model] if name in TELLING else _middle(field)
        for name, field in params.model_fields.items()
        if field.is_required() or name in TELLING
    }


def _middle(field: "FieldInfo") -> Any:
    """Return a value in the middle of what a number may be, or the first that its spec names."""
    if field.examples:
        return field.examples[0]
    bounds = {
        name: value
        for rule in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if (value := getattr(rule, name, None)) is not None
    }
    low = bounds.get("ge", bounds.get("gt", 0))
    high = bounds.get("le", bounds.get("lt", low + 1))
    return int(high) if field.annotation is int else (low + high) / 2
