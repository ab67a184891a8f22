"""What a person tells an importer, checked, and what a stranger's folder is believed instead."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from adapterhub_lite.bases import resolve_base, resolve_named_base
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import (
    BaseModelError,
    CapabilityError,
    DataError,
)
from adapterhub_lite.protocols import ImportOptions, Method
from adapterhub_lite.specs import (
    ImportChoice,
    ImporterSpec,
    MethodSpec,
    ObjectiveSpec,
    ResolvedBase,
)

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry

MAX_LABELS: Final = 100_000
_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(@[\w.-]+)?")
"""A packaged model, a hub id or a registry reference: nothing that leads through folders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportChoices:
    """What a person says of a folder to import; ``params`` are the objective's."""

    convert: bool = False
    base: str | None = None
    labels: tuple[str, ...] = ()
    multi_label: bool = False
    objective: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    def given(self) -> dict[ImportChoice, str]:
        """Return what was said, and by which option of the command line."""
        said: dict[ImportChoice, tuple[str, Any]] = {
            "convert": ("--convert-pickle", self.convert),
            "base": ("--base", self.base),
            "labels": ("--labels", self.labels),
            "multi-label": ("--multi-label", self.multi_label),
            "objective": ("--objective or --set", self.objective or self.params),
        }
        return {name: option for name, (option, value) in said.items() if value}


def import_options(
    choices: ImportChoices, spec: ImporterSpec, registry: "Registry", catalogue: Catalogue
) -> ImportOptions:
    """Return the choices as an importer gets them.

    Raises CapabilityError for one that it does not take, DataError for labels that are no names.
    """
    for choice, option in choices.given().items():
        if choice not in spec.takes:
            raise CapabilityError(
                f"a folder of {spec.name} tells that itself: {option} is not for it",
                hint=f"leave {option} out",
            )
    _check_labels(choices.labels)

    def find_base(told: str | None) -> ResolvedBase:
        if choices.base is not None:
            return resolve_base(choices.base, catalogue, registry)
        return _told_base(told, registry, catalogue)

    def find_objective(told: str | None) -> ObjectiveSpec:
        return _adopting(choices.objective or told, catalogue)

    def find_method(name: str) -> tuple[MethodSpec, Method]:
        method = catalogue.method(name)
        return method, catalogue.implementation(method)

    return ImportOptions(
        find_base=find_base,
        find_objective=find_objective,
        find_method=find_method,
        convert=choices.convert,
        labels=choices.labels,
        multi_label=choices.multi_label,
    )


def _check_labels(labels: tuple[str, ...]) -> None:
    if len(set(labels)) < len(labels) or not all(label.strip() for label in labels):
        raise DataError("the labels are not distinct names", hint="give each output its own")
    if len(labels) > MAX_LABELS:
        raise DataError(f"{len(labels)} labels are more than {MAX_LABELS}")


def _told_base(told: str | None, registry: "Registry", catalogue: Catalogue) -> ResolvedBase:
    """Find the base that a stranger's file names; a path on this machine is never followed."""
    if not told:
        raise BaseModelError("the folder names no base", ref="", hint="say which: --base REF")
    shown = told if len(told) <= 100 else f"{told[:100]}…"
    if not _NAME.fullmatch(told):
        raise BaseModelError(
            f"the folder names a path as its base, which is not followed: {shown!r}",
            ref=shown,
            hint="say where the base lies: --base REF",
        )
    found = resolve_named_base(told, catalogue, registry)
    if found is None:
        raise BaseModelError(
            f"the base that the folder names is not known here: {shown!r}",
            ref=shown,
            hint="say where it lies: --base REF",
        )
    return found


def _adopting(name: str | None, catalogue: Catalogue) -> ObjectiveSpec:
    """Return the objective called ``name``, which has to adopt models."""
    specs = [offer.spec for offer in catalogue.usable("objective")]
    able = ", ".join(spec.name for spec in specs if isinstance(spec, ObjectiveSpec) and spec.adopts)
    if name is None:
        raise CapabilityError(
            "the folder does not tell what the model was trained for",
            hint=f"say it: --objective, one of {able}",
        )
    spec = catalogue.objective(name)
    if not spec.adopts:
        raise CapabilityError(
            f"the objective {name!r} cannot take a model over that was trained elsewhere",
            hint=f"objectives that can: {able}",
        )
    return spec
