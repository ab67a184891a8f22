"""What a merge returns."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapterhub_lite.merging.adapters.plan import AdapterPlan
    from adapterhub_lite.merging.plan import MergePlan
    from adapterhub_lite_registry import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeResult:
    """What came of a merge: the folder it was written to, the version it was published as.

    ``tensors`` is how many were merged and ``written`` the bytes they take; ``resumed`` counts
    those that an earlier, interrupted run of the same merge had finished.
    """

    plan: "MergePlan | AdapterPlan"
    folder: Path | None
    version: "Version | None"
    notices: Sequence[str]
    tensors: int
    written: int
    resumed: int = 0
