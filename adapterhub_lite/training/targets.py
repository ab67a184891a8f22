"""The modules that a method adapts, where a plugin knows the architecture and the recipe is silent.

The answer becomes a parameter like any other: the plan shows it, the version records it, and the
recorded recipe trains the same modules without that plugin.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from adapterhub_lite.architecture import Architecture
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.recipes import validate
from adapterhub_lite.specs import MethodSpec, TargetRole
from adapterhub_lite.training.parts import ResolvedPart

TARGETS_HINT: Final = (
    "an installed plugin named the modules (see: ahl plugins list); name others in the recipe, "
    "as in method.target_modules"
)


def with_known_targets(
    method: ResolvedPart[MethodSpec], architecture: Architecture, catalogue: Catalogue
) -> ResolvedPart[MethodSpec]:
    """Return the method with the module names that plugins give for its open targets.

    They fill in all that is open or nothing: half of a choice would be another one than anybody
    made. Raises RecipeError when the method does not take such names.
    """
    wanted = method.params.open_targets()
    found = {field: _names(roles, architecture, catalogue) for field, roles in wanted.items()}
    if not found or not all(found.values()):
        return method
    values = {**method.params.model_dump(), **found}
    return replace(method, params=validate(method.spec.params, values, where="method"))


def _names(
    roles: Sequence[TargetRole], architecture: Architecture, catalogue: Catalogue
) -> list[str]:
    """Return the modules of all ``roles``, each once; none when one of the roles is not known."""
    names: list[str] = []
    for role in roles:
        answer = catalogue.target_modules(architecture.model_type, role)
        if answer is None:
            return []
        names += [one for name in answer for one in _in_each_layer(name, architecture.layers)]
    return list(dict.fromkeys(names))


def _in_each_layer(name: str, layers: int) -> list[str]:
    return [name.replace("*", str(layer)) for layer in range(layers)] if "*" in name else [name]
