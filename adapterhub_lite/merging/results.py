"""Where the result of a merge goes, and what a merge returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite.errors import UserError
from adapterhub_lite.recipes.merge import MergeRecipe

if TYPE_CHECKING:
    from adapterhub_lite.merging.adapters.plan import AdapterPlan
    from adapterhub_lite.merging.plan import MergePlan
    from adapterhub_lite.streaming.factors import Compressed
    from adapterhub_lite_registry import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeResult:
    """What came of a merge: the folder it was written to, the version it was published as.

    ``tensors`` is how many were merged and ``written`` the bytes they take; ``resumed`` counts
    those that an earlier, interrupted run of the same merge had finished. ``modules`` are an
    adapter's: each one's factors, with the error of their approximation.
    """

    plan: "MergePlan | AdapterPlan"
    folder: Path | None
    version: "Version | None"
    notices: Sequence[str]
    tensors: int
    written: int
    resumed: int = 0
    modules: Mapping[str, "Compressed"] = field(default_factory=dict)


def require_name(recipe: MergeRecipe) -> str:
    """Return the name that a result without a folder is published as; raises UserError."""
    if recipe.publish is None:
        raise UserError(
            "the result has no place to go", hint="give a folder (--out) or a name (--name)"
        )
    return recipe.publish
