"""Whether a loader, a method, an objective and a base fit together, by what their specs declare.

Each refusal gives the reason, and as its hint the nearest thing that works.
"""

from collections.abc import Callable
from typing import Final

from adapterhub_lite.architecture import Architecture
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.finetuning.params import TrainerParams
from adapterhub_lite.specs import (
    Capability,
    LoaderSpec,
    MethodSpec,
    ObjectiveSpec,
    ResolvedBase,
)
from adapterhub_lite.training.parts import ResolvedPart

COMMON: Final = ("lora", "bottleneck", "full", "prefix")
"""Methods that hints name first, of those that fit."""
LISTED: Final = 8
"""How many methods a hint names."""


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
    _check_attachable(method.spec, objective.spec, architecture, catalogue)
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


def check_learns(
    trainable: int,
    method: ResolvedPart[MethodSpec],
    objective: ResolvedPart[ObjectiveSpec],
    architecture: Architecture,
    catalogue: Catalogue,
) -> None:
    """Raise CapabilityError when gradient descent would have no parameter to move."""
    if trainable or not isinstance(objective.params, TrainerParams):
        return

    def can(spec: MethodSpec) -> bool:
        return spec.name != method.spec.name and _attachable(spec, objective.spec, architecture)

    raise CapabilityError(
        f"nothing would learn: the method {method.spec.name!r}, as it is set, trains a new head "
        f"alone, and the objective {objective.spec.name!r} has none",
        hint=_nearest_method(catalogue, can),
    )


def _check_objective(
    spec: ObjectiveSpec, base: ResolvedBase, architecture: Architecture, catalogue: Catalogue
) -> None:
    family = architecture.family
    sentence_encoder = architecture.sentence_transformer and "encoder" in spec.families
    if family not in spec.families and not sentence_encoder:
        wanted = " or ".join(with_article(known) for known in sorted(spec.families))
        raise CapabilityError(
            f"the objective {spec.name!r} needs {wanted}, and the base {base.ref!r} "
            f"({architecture.model_type}) is {with_article(family)}",
            hint=_nearest_objective(catalogue, spec, architecture),
        )
    if not architecture.has_head(spec.head):
        raise CapabilityError(
            f"the objective {spec.name!r} needs a model with a head for {spec.head}, and "
            f"transformers has none for {architecture.model_type!r} ({base.ref!r})",
            hint=_nearest_objective(catalogue, spec, architecture),
        )
    if architecture.lacks_head(spec.head):
        raise CapabilityError(
            f"the objective {spec.name!r} needs the base's language-model head, and the files of "
            f"{base.ref!r} hold the bare transformer only",
            hint="save the model again with its head (AutoModelForCausalLM), or take another base",
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
    architecture: Architecture,
    catalogue: Catalogue,
) -> None:
    def can(spec: MethodSpec) -> bool:
        return _attachable(spec, objective, architecture)

    family = architecture.family
    if family not in method.families:
        known = " or ".join(with_article(kind) for kind in sorted(method.families))
        raise CapabilityError(
            f"the method {method.name!r} cannot be attached to {with_article(family)}: it is for "
            f"{known}",
            hint=_nearest_method(catalogue, can),
        )
    if objective.head not in method.heads:
        reason = method.refusals.get(objective.head)
        raise CapabilityError(
            f"the method {method.name!r} does not work for {objective.task}"
            + (f": {reason}" if reason else ""),
            hint=_nearest_method(catalogue, can),
        )


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
    """Name a few methods that fit, the common ones first."""
    specs = [offer.spec for offer in catalogue.usable("method")]
    names = [spec.name for spec in specs if isinstance(spec, MethodSpec) and fits(spec)]
    if not names:
        return "no installed method can"
    ordered: list[str] = [name for name in COMMON if name in names]
    ordered += [name for name in names if name not in COMMON]
    more = "" if len(ordered) <= LISTED else ", … (see: ahl methods list)"
    return f"methods that can: {', '.join(ordered[:LISTED])}{more}"
