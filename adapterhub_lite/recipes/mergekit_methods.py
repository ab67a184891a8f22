"""What mergekit's methods are called here, and which parameters each of them reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from adapterhub_lite.errors import RecipeError, nearest_name

Base = Literal["base", "model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One of mergekit's methods.

    ``shared`` are parameters of the merge, ``each`` those of every model. ``base_is``: whether its
    base model is a base, or one more model. ``added`` are parameters of ours that make the strategy
    compute what mergekit does.
    """

    strategy: str
    shared: frozenset[str] = frozenset()
    each: frozenset[str] = frozenset()
    base_is: Base = "base"
    added: Mapping[str, Any] = field(default_factory=dict)


def _method(
    strategy: str,
    shared: str = "",
    each: str = "",
    base_is: Base = "base",
    **added: Any,
) -> Method:
    return Method(
        strategy=strategy,
        shared=frozenset(shared.split()),
        each=frozenset(each.split()),
        base_is=base_is,
        added=added,
    )


_SUM: Final = "normalize lambda"
_SELECTED: Final = "normalize lambda rescale"

METHODS: Final[Mapping[str, Method]] = {
    "linear": _method("linear", "normalize", "weight", "model"),
    "slerp": _method("slerp", "t"),
    "nuslerp": _method("nuslerp", "nuslerp_flatten nuslerp_row_wise", "weight"),
    "multislerp": _method("multislerp", "normalize_weights eps", "weight"),
    "karcher": _method("karcher", "max_iter tol", "", "model"),
    "task_arithmetic": _method("task_arithmetic", _SUM, "weight"),
    "ties": _method("ties", _SELECTED, "weight density"),
    # mergekit restores the L1 norm; the papers' own rescaling, ours by default, divides by the
    # probability.
    "dare_linear": _method("dare_linear", _SELECTED, "weight density", rescale_norm="l1"),
    "dare_ties": _method("dare_ties", _SELECTED, "weight density", rescale_norm="l1"),
    "della": _method("della", _SELECTED, "weight density epsilon", rescale_norm="l1"),
    "della_linear": _method("della_linear", _SELECTED, "weight density epsilon", rescale_norm="l1"),
    "breadcrumbs": _method("breadcrumbs", _SELECTED, "weight density gamma"),
    "breadcrumbs_ties": _method("breadcrumbs_ties", _SELECTED, "weight density gamma"),
    "model_stock": _method("model_stock", "filter_wise"),
    "sce": _method("sce", "select_topk"),
    "nearswap": _method("nearswap", "t"),
    "arcee_fusion": _method("arcee_fusion"),
    "ram": _method("ram", "epsilon"),
    "ramplus_tl": _method("ramplus", "r alpha epsilon"),
    "passthrough": _method("passthrough", "", "scale", "model"),
}
"""mergekit's name → what it is here. A name that is not here is a strategy's own."""

KNOWN: Final = frozenset({"int8_mask"}).union(
    *(method.shared | method.each for method in METHODS.values())
)
"""Every parameter of every method; int8_mask changes no result."""


def read_parameters(
    given: Mapping[str, Any], name: str, *, of_model: bool, where: str
) -> dict[str, Any]:
    """Return the parameters of one level as our recipes write them.

    As in mergekit, one that belongs to another method has no effect; one that belongs to none is
    a RecipeError. A strategy that mergekit has not gets all.
    """
    method = METHODS.get(name)
    taken = {}
    for key, value in given.items():
        path = f"{where}.{key}"
        if method is None:
            taken[key] = read_value(value, path)
            continue
        if key not in KNOWN:
            near = nearest_name(key, KNOWN)
            listed = ", ".join(sorted(method.shared | method.each)) or "none"
            hint = f"did you mean {near!r}?" if near else f"parameters of {name}: {listed}"
            raise RecipeError(f"unknown key {path!r}", field=path, hint=hint)
        if key in method.each or (key in method.shared and not of_model):
            taken[key] = read_value(value, path)
    return taken


def read_value(value: Any, where: str) -> Any:
    """Return a number, a gradient, or a mapping from patterns to either; raises RecipeError."""
    if isinstance(value, Mapping):
        return _by_pattern([value], where)
    if isinstance(value, list):
        if any(isinstance(entry, Mapping) for entry in value):
            return _by_pattern(value, where)
        return [_number(entry) for entry in value]
    return _number(value)


def _by_pattern(conditions: list[Any], where: str) -> dict[str, Any]:
    """Read conditions, of which the first that matches decides."""
    found: dict[str, Any] = {}
    for condition in conditions:
        if not isinstance(condition, Mapping):
            raise RecipeError(
                f"{where!r}: a list has either numbers or conditions, {{filter: …, value: …}}",
                field=where,
            )
        if unknown := sorted(condition.keys() - {"filter", "value"}, key=str):
            near = nearest_name(str(unknown[0]), ("filter", "value"))
            hint = f"did you mean {near!r}?" if near else "known keys: filter, value"
            raise RecipeError(f"unknown key '{where}.{unknown[0]}'", field=where, hint=hint)
        if "value" not in condition:
            raise RecipeError(f"{where!r}: a condition has no `value`", field=where)
        wanted = condition.get("filter")
        pattern = "rest" if wanted in (None, "*") else f"contains:{wanted}"
        if isinstance(condition["value"], Mapping):
            raise RecipeError(f"{where!r}: conditions cannot be nested", field=where)
        found.setdefault(pattern, read_value(condition["value"], where))
        if pattern == "rest":
            break
    return found


def _number(value: Any) -> Any:
    """Read the likes of 1e-5, which YAML takes for a text: it asks for a point in a number."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value
