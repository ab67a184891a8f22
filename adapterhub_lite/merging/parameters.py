"""A strategy's parameters for one tensor: the model's own over the piece's over the strategy's."""

from collections.abc import Mapping, Sequence
from typing import Any

from adapterhub_lite.errors import CapabilityError, RecipeError, nearest_name
from adapterhub_lite.merging.engine import Applied
from adapterhub_lite.merging.values import MISSING, Place, Rules, resolve
from adapterhub_lite.recipes import validate
from adapterhub_lite.specs import MergeSpec, Params

Level = tuple[str, Mapping[str, Any]]
"""Where values stand in the recipe ("models.0"), and the values."""
Resolved = tuple[Params, tuple[Params, ...]]


class Parameters:
    """Resolves and checks the parameters of one piece of a merge.

    ``shared`` are the levels for all models, the one that wins first; ``each`` is every model's
    own. Raises RecipeError for a key that the strategy does not know.
    """

    def __init__(
        self, applied: Applied, shared: Sequence[Level], each: Sequence[Level], rules: Rules
    ) -> None:
        self._applied, self._shared, self._each, self._rules = applied, shared, each, rules
        self._merge_keys = field_keys(applied.spec.params)
        self._model_keys = field_keys(applied.spec.model_params)
        for where, values in shared:
            _refuse_unknown(values, self._merge_keys + self._model_keys, where, applied.spec)
        for where, values in each:
            _refuse_unknown(values, self._model_keys, where, applied.spec)
        self._known: dict[str, Resolved] = {}

    def at(self, place: Place) -> Resolved:
        """Return the strategy's parameters and each model's for one tensor.

        Raises RecipeError for values out of range, CapabilityError for what does not go together.
        """
        merge = self._values(self._merge_keys, self._shared, place)
        models = [self._values(self._model_keys, [own, *self._shared], place) for own in self._each]
        key = repr((merge, models))
        if key not in self._known:
            self._known[key] = self._checked(merge, models, place)
        return self._known[key]

    def _values(self, keys: Sequence[str], levels: Sequence[Level], place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key in keys:
            for where, values in levels:
                if key not in values:
                    continue
                value = resolve(values[key], place, f"{where}.{key}", self._rules)
                if value is not MISSING:
                    found[key] = value
                    break
        return found

    def _checked(
        self, merge: Mapping[str, Any], models: Sequence[Mapping[str, Any]], place: Place
    ) -> Resolved:
        spec = self._applied.spec
        params = validate(spec.params, merge, where=spec.name)
        each = tuple(
            validate(spec.model_params, values, where=where)
            for values, (where, _) in zip(models, self._each, strict=True)
        )
        if reasons := self._applied.strategy.check(params, each):
            raise CapabilityError(f"{spec.name} cannot merge {place.name!r}: {reasons[0]}")
        return params, each


def field_keys(model: type[Params]) -> list[str]:
    """Return the keys by which a recipe sets a model's fields."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _refuse_unknown(
    values: Mapping[str, Any], known: Sequence[str], where: str, spec: MergeSpec
) -> None:
    for key in values:
        if key not in known:
            near = nearest_name(key, known)
            listed = ", ".join(sorted(known)) or "none"
            hint = f"did you mean {near!r}?" if near else f"parameters of {spec.name}: {listed}"
            raise RecipeError(f"unknown key '{where}.{key}'", field=f"{where}.{key}", hint=hint)
