"""The self-test: what will be published answers as the model that was trained."""

from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import SelfTestError
from adapterhub_lite.protocols import Scorer

if TYPE_CHECKING:
    from adapterhub_lite.training.plan import Plan

TOLERANCE = 1e-5
ROWS = 32


def self_test(folder: Path, plan: "Plan", trained: Scorer, catalogue: Catalogue) -> None:
    """Reload ``folder`` into fresh objects and compare probabilities on some rows.

    Raises SelfTestError when any differs by more than 1e-5 or is not finite.
    """
    import numpy as np

    rows = plan.data.test or plan.data.train
    texts = rows.texts[:ROWS]
    base = catalogue.implementation(plan.method.spec).load(folder, "cpu")
    reloaded = catalogue.implementation(plan.objective.spec).load(base, folder)
    if (reloaded.classes, reloaded.multi_label) != (trained.classes, trained.multi_label):
        raise SelfTestError("the reloaded artifact has other labels than the trained model")
    if reloaded.threshold != trained.threshold:
        raise SelfTestError("the reloaded artifact has another threshold than the trained model")
    expected = trained.predict_proba(texts)
    found = reloaded.predict_proba(texts)
    if not (np.isfinite(expected).all() and np.isfinite(found).all()):
        raise SelfTestError("the model answers with numbers that are not finite")
    difference = float(np.abs(expected - found).max(initial=0.0))
    if difference > TOLERANCE:
        raise SelfTestError(
            f"the reloaded artifact's probabilities differ by up to {difference:.1e} from the "
            "trained model's",
            hint="nothing was published; please report this",
        )
