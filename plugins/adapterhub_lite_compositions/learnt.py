"""What is learnt of members' examples: a direction for each member among the embeddings."""

import warnings
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from adapterhub_lite.errors import TrainingError

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
By = Literal["centroid", "router"]

UNSURE: Final = -1
"""The number of no member: none is near, or likely, enough."""
STRENGTHS: Final = (0.1, 1.0, 10.0, 100.0)
"""What a router's C is chosen from; of equals the first."""
FOLDS: Final = 3
"""Into how many parts examples are divided to choose C."""
MAX_ITERATIONS: Final = 2000


@dataclass(frozen=True, slots=True)
class Chooser:
    """Tells how well each member fits embeddings of unit length.

    ``weights`` are (members, width) and ``bias`` (members,), in float64. By *centroid* a row of
    weights is the mean of a member's examples at unit length and the bias zero, so what fits is
    the cosine; by *router* they are a logistic regression's, and it is the probability.
    """

    by: By
    weights: Floats
    bias: Floats

    def fits(self, embeddings: Floats) -> Floats:
        """Return cosines, or probabilities, (rows, members)."""
        found: Floats = embeddings @ self.weights.T + self.bias
        if self.by == "centroid":
            return found
        shifted = np.exp(found - found.max(axis=1, keepdims=True))
        likely: Floats = shifted / shifted.sum(axis=1, keepdims=True)
        return likely

    def choose(self, embeddings: Floats, least: float | None) -> Numbers:
        """Return the number of the member that fits best (rows,).

        UNSURE where it fits less than ``least``, and for a text without tokens.
        """
        fits = self.fits(embeddings)
        chosen: Numbers = fits.argmax(axis=1)
        unsure = ~embeddings.any(axis=1)
        if least is not None:
            unsure |= fits.max(axis=1) < least
        chosen[unsure] = UNSURE
        return chosen


def learn(by: By, embeddings: Floats, owners: Numbers, c: float | None) -> Chooser:
    """Return what examples (rows, width) of the members ``owners`` (rows,) teach.

    ``c`` is a router's inverse strength of regularisation. Raises TrainingError where no finite
    numbers come of it.
    """
    members = int(owners.max()) + 1
    if by == "centroid":
        means = np.stack([embeddings[owners == number].mean(axis=0) for number in range(members)])
        lengths = np.linalg.norm(means, axis=1, keepdims=True)
        weights = np.divide(means, lengths, out=np.zeros_like(means), where=lengths > 0)
        return Chooser(by, weights, np.zeros(members))
    assert c is not None, "a router has a strength"
    return _logistic(embeddings, owners, c)


def choose_strength(embeddings: Floats, owners: Numbers) -> float:
    """Return the C of STRENGTHS whose router foretells held-out examples best.

    That is the one of the smallest log-loss, in which members count alike; 1 where there are too
    few examples to hold any out.
    """
    from sklearn.model_selection import StratifiedKFold

    folds = min(FOLDS, int(np.bincount(owners).min()))
    if folds < 2:
        return 1.0
    parts = list(StratifiedKFold(folds, shuffle=True, random_state=0).split(embeddings, owners))
    shares = 1.0 / np.bincount(owners)[owners]
    losses = []
    for c in STRENGTHS:
        likely = np.empty(len(owners))
        for train, held in parts:
            fits = _logistic(embeddings[train], owners[train], c).fits(embeddings[held])
            likely[held] = fits[np.arange(len(held)), owners[held]]
        losses.append(float(-(shares * np.log(np.clip(likely, 1e-12, None))).sum()))
    return STRENGTHS[int(np.argmin(losses))]


def _logistic(embeddings: Floats, owners: Numbers, c: float) -> Chooser:
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        # few examples a member are no sign of a regression taken for classes
        warnings.filterwarnings("ignore", message="The number of unique classes")
        model = LogisticRegression(C=c, class_weight="balanced", max_iter=MAX_ITERATIONS)
        model.fit(embeddings, owners)
    if not (np.isfinite(model.coef_).all() and np.isfinite(model.intercept_).all()):
        raise TrainingError("the router did not converge to finite weights")
    if len(model.classes_) == 2:  # one output, the second member's: the first one's is zero
        return Chooser(
            "router",
            np.concatenate([np.zeros_like(model.coef_), model.coef_]),
            np.concatenate([[0.0], model.intercept_]),
        )
    return Chooser("router", np.array(model.coef_), np.array(model.intercept_))
