"""The self-test: what will be published answers as the model that was trained."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import SelfTestError
from adapterhub_lite.inference.artifact import read_artifact_info
from adapterhub_lite.inference.loading import load_scorer
from adapterhub_lite.protocols import Scorer
from adapterhub_lite.specs import ResolvedBase

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from adapterhub_lite.scoring import Scored
    from adapterhub_lite.training.plan import Plan

TOLERANCE = 1e-5
ROWS = 32


def self_test(folder: Path, plan: "Plan", trained: Scorer, catalogue: Catalogue) -> None:
    """Reload ``folder`` into fresh objects, on a fresh base, and compare the answers to some rows.

    Raises SelfTestError when a decision differs, a score differs by more than 1e-5 (absolutely
    and relatively), or a score is not finite.
    """
    rows = plan.data.test or plan.data.train
    some = rows.select(range(min(ROWS, len(rows))))
    info = read_artifact_info(folder)
    base = (
        plan.base
        if info.base
        else ResolvedBase(ref=str(folder), path=str(folder), source="artifact")
    )
    reloaded = load_scorer(folder, info, base, catalogue, plan.recipe.device)
    if reloaded.classes != trained.classes:
        raise SelfTestError("the reloaded artifact has other labels than the trained model")
    _compare(trained.score(some), reloaded.score(some))


def _compare(expected: "Scored", found: "Scored") -> None:
    import numpy as np

    before, after = _flat(expected.scores), _flat(found.scores)
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        raise SelfTestError("the model answers with numbers that are not finite")
    same_shape = before.shape == after.shape
    if not (same_shape and np.allclose(before, after, rtol=TOLERANCE, atol=TOLERANCE)):
        difference = f"up to {np.abs(before - after).max():.1e}" if same_shape else "in number"
        raise SelfTestError(
            f"the reloaded artifact's scores differ by {difference} from the trained model's",
            hint="nothing was published; please report this",
        )
    if not _same(expected.decision, found.decision):
        raise SelfTestError(
            "the reloaded artifact decides otherwise than the trained model",
            hint="nothing was published; please report this",
        )


def _flat(scores: "NDArray[Any]") -> "NDArray[np.float64]":
    """Return all scores in one line; rows of a tagger have as many as they have words."""
    import numpy as np

    if scores.dtype != object:
        return np.asarray(scores, dtype=np.float64).ravel()
    parts = [np.asarray(row, dtype=np.float64).ravel() for row in scores]
    return np.concatenate(parts) if parts else np.empty(0)


def _same(expected: "NDArray[Any]", found: "NDArray[Any]") -> bool:
    """Compare decisions; numbers were compared as scores, to the tolerance."""
    import numpy as np

    if np.issubdtype(expected.dtype, np.floating):
        return True
    return bool(len(expected) == len(found) and all(map(_equal, expected, found)))


def _equal(one: Any, other: Any) -> bool:
    import numpy as np

    return bool(np.array_equal(one, other)) if isinstance(one, np.ndarray) else bool(one == other)
