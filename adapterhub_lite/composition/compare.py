"""A composition answers as it has to: compared before it is kept."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.deployment.baking import EXACT, ROUNDED
from adapterhub_lite.errors import SelfTestError
from adapterhub_lite.inference.artifact import read_artifact_info
from adapterhub_lite.inference.composed import OpenMembers, load_together, open_members
from adapterhub_lite.inference.loaded import Bases
from adapterhub_lite.inference.loading import load_model
from adapterhub_lite.protocols import LoadedBase

if TYPE_CHECKING:
    from adapterhub_lite.composition.plan import ComposePlan

MERGED: Final = "the members merged into a base one by one"
ALONE: Final = "each member alone"
UNCOMPARED: Final = "nothing, since there is no other way to compute it; it loads and is finite"


@dataclass(frozen=True, slots=True)
class Compared:
    """With what it was compared, and the largest difference of outputs, relatively."""

    reference: str
    difference: float


def compare(plan: "ComposePlan", folder: Path, catalogue: Catalogue) -> Compared:
    """Load what was written into fresh objects, and ask it the same as a reference.

    Members that answer alone have to do so to the bit. Raises SelfTestError when outputs differ.
    """
    if plan.spec.result == "answers":
        made = _reopened(plan, folder, catalogue)
        load_together(made, plan.spec, plan.params, catalogue)  # what is published can be loaded
        return _require(Compared(ALONE, max(_each(plan.members, made))), 0.0)
    exact = plan.answering.info.loader == "fp32"
    return _require(_as_one_model(plan, folder, catalogue), EXACT if exact else ROUNDED)


def _require(compared: Compared, tolerance: float) -> Compared:
    if not compared.difference <= tolerance:
        raise SelfTestError(
            f"the composition's outputs differ from {compared.reference} by "
            f"{compared.difference:.1e} of the largest",
            hint="nothing was published; please report this",
        )
    return compared


def _as_one_model(plan: "ComposePlan", folder: Path, catalogue: Catalogue) -> Compared:
    from adapterhub_lite.probe import answers, difference

    asked = _probe(plan)
    found = answers(_written(plan, folder, catalogue).model, asked)
    expected = plan.implementation.reference(plan.members, plan.params)
    if expected is None:
        return Compared(UNCOMPARED, difference(found, found))
    return Compared(MERGED, difference(answers(expected.model, asked), found))


def _probe(plan: "ComposePlan") -> Mapping[str, Any] | None:
    """Return what the model is asked, if its composition knows better than a few random tokens."""
    if plan.spec.result != "model":
        return None
    asked: Mapping[str, Any] | None = plan.implementation.probe(plan.members, plan.params)
    return asked


def _written(plan: "ComposePlan", folder: Path, catalogue: Catalogue) -> LoadedBase:
    """Load the one model from the folder."""
    if plan.spec.result == "adapter":
        return load_model(folder, read_artifact_info(folder), plan.base, catalogue, "cpu")
    made: LoadedBase = plan.implementation.load(_reopened(plan, folder, catalogue), plan.params)
    return made


def _each(originals: OpenMembers, copies: OpenMembers) -> Iterator[float]:
    """Return how far each member, from the composition's folder, is from its own version."""
    from adapterhub_lite.probe import answers, difference

    for original, copied in zip(originals.all, copies.all, strict=True):
        pairs = zip(originals.models(original), copies.models(copied), strict=True)
        for before, after in pairs:
            yield difference(answers(before.model), answers(after.model))


def _reopened(plan: "ComposePlan", folder: Path, catalogue: Catalogue) -> OpenMembers:
    bases = Bases(plan.base, catalogue)
    return open_members(folder, plan.members.name, plan.composed, plan.spec, bases, catalogue)
