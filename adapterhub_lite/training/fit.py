"""Whether a loader, a method, an objective and a base fit together, by what their specs declare.

Each refusal gives the reason, and as its hint the nearest thing that works.
"""

from collections.abc import Callable

from adapterhub_lite.architecture import Architecture
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.specs import (
    Capability,
    LoaderSpec,
    MethodSpec,
    ObjectiveSpec,
    ResolvedBase,
)
from adapterhub_lite.training.parts import ResolvedPart


def check_fit(
    loader: ResolvedPart[LoaderSpec],
    method: ResolvedPart[MethodSpec],
    objective: ResolvedPart[ObjectiveSpec],
    base: ResolvedBase,
    architecture: Architecture,
    catalogue: Catalogue,
) -> None:
    """Raise CapabilityError for the first thing that does not fit; nothing is loaded."""
    _check_objective(objective.spec, base, architecture, catalogue)
    _check_attachable(method.spec, objective.spec, base, architecture.family, catalogue)
    needed = _needed(loader, objective)
    absent = [capability for capability in needed if capability not in method.spec.capabilities]
    if absent:

        def can(spec: MethodSpec) -> bool:
            fits = _attachable(spec, objective.spec, architecture)
            return fits and spec.capabilities.issuperset(needed)

        raise CapabilityError(
            f"the method {method.spec.name!r} cannot {_asked(absent[0], loader.spec)}",
            hint=_nearest_method(catalogue, can),
        )


def _check_objective(
    spec: ObjectiveSpec, base: ResolvedBase, architecture: Architecture, catalogue: Catalogue
) -> None:
    family = architecture.family
    sentence_encoder = architecture.sentence_transformer and "encoder" in spec.families
    if family not in spec.families and not sentence_encoder:
        wanted = " or ".join(sorted(spec.families))
        raise CapabilityError(
            f"the objective {spec.name!r} needs an {wanted}, and the base {base.ref!r} "
            f"({architecture.model_type}) is {with_article(family)}",
            hint=_nearest_objective(catalogue, spec, architecture),
        )
    if not architecture.has_head(spec.head):
        raise CapabilityError(
            f"the objective {spec.name!r} needs a model with a head for {spec.head}, and "
            f"transformers has none for {architecture.model_type!r} ({base.ref!r})",
            hint=_nearest_objective(catalogue, spec, architecture),
        )


def _nearest_objective(
    catalogue: Catalogue, wanted: ObjectiveSpec, architecture: Architecture
) -> str:
    """Name the objectives of the same task that this base can take, or a base for this one."""
    specs = [offer.spec for offer in catalogue.usable("objective")]
    names = [
        spec.name
        for spec in specs
        if isinstance(spec, ObjectiveSpec)
        and spec.task == wanted.task
        and architecture.family in spec.families
        and architecture.has_head(spec.head)
    ]
    if names:
        return f"with this base: {', '.join(names)}"
    if "encoder" in wanted.families:
        return "use base: minilm, or any BERT-like model"
    return f"use a base that is {with_article(sorted(wanted.families)[0])}"


def _attachable(spec: MethodSpec, objective: ObjectiveSpec, architecture: Architecture) -> bool:
    return architecture.family in spec.families and objective.head in spec.heads


def _check_attachable(
    method: MethodSpec,
    objective: ObjectiveSpec,
    base: ResolvedBase,
    family: str,
    catalogue: Catalogue,
) -> None:
    if family not in method.families:
        raise CapabilityError(
            f"the method {method.name!r} cannot be attached to {with_article(family)} like "
            f"{base.ref!r}",
            hint=_nearest_method(catalogue, lambda spec: family in spec.families),
        )
    if objective.head not in method.heads:
        raise CapabilityError(
            f"the method {method.name!r} does not work for {objective.task} (objective "
            f"{objective.name!r}){_because(method, objective)}",
            hint=_nearest_method(
                catalogue, lambda spec: family in spec.families and objective.head in spec.heads
            ),
        )


def _because(method: MethodSpec, objective: ObjectiveSpec) -> str:
    reason = method.refusals.get(objective.head)
    return f": {reason}" if reason else ""


def _needed(
    loader: ResolvedPart[LoaderSpec], objective: ResolvedPart[ObjectiveSpec]
) -> list[Capability]:
    """Return the capabilities that the other parts ask of a method."""
    needed: list[Capability] = []
    if loader.spec.quantised:
        needed.append("quantised-base")
    if getattr(objective.params, "gradient_checkpointing", False):
        needed.append("gradient-checkpointing")
    return needed


def _asked(capability: Capability, loader: LoaderSpec) -> str:
    if capability == "quantised-base":
        return f"train on a base that the loader {loader.name!r} has quantised"
    return "train with gradient checkpointing (objective.gradient_checkpointing)"


def with_article(noun: str) -> str:
    """Return a noun behind its article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _nearest_method(catalogue: Catalogue, fits: Callable[[MethodSpec], bool]) -> str:
    specs = [offer.spec for offer in catalogue.usable("method")]
    names = [spec.name for spec in specs if isinstance(spec, MethodSpec) and fits(spec)]
    return f"methods that can: {', '.join(names)}" if names else "no installed method can"
