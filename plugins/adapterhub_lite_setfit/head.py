"""The logistic head: fitted by scikit-learn, kept as safetensors and JSON, never as a pickle."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from adapterhub_lite.errors import IntegrityError, TrainingError

Floats = NDArray[np.float64]
Labels = Sequence[tuple[str, ...]]

TENSORS_FILE = "head.safetensors"
CONFIG_FILE = "head.json"
MAX_ITERATIONS = 2000


@dataclass(frozen=True, slots=True)
class LogisticHead:
    """A logistic regression, or one a label when rows may carry several.

    ``coef`` is (outputs, width) and ``intercept`` (outputs,), in float64: one output for two
    classes, else one a class; multi-label always one a label. A label that all or none of the
    training rows carry has a zero row and an infinite intercept: its probability is 1 or 0.
    """

    classes: tuple[str, ...]
    multi_label: bool
    coef: Floats
    intercept: Floats

    def predict_proba(self, embeddings: Floats) -> Floats:
        """Return probabilities (rows, classes), bit for bit those of scikit-learn."""
        if not len(embeddings):
            return np.empty((0, len(self.classes)))
        if not self.multi_label:
            names = np.array(self.classes)
            return np.asarray(rebuild(self.coef, self.intercept, names).predict_proba(embeddings))
        columns = [
            _probability_of_label(coef, intercept, embeddings)
            for coef, intercept in zip(self.coef, self.intercept, strict=True)
        ]
        return np.stack(columns, axis=1)

    def save(self, folder: Path) -> None:
        """Write ``head.safetensors`` and ``head.json``."""
        # scikit-learn may leave Fortran order, which save_file would write as if it were C order.
        tensors = {
            "coef": np.ascontiguousarray(self.coef),
            "intercept": np.ascontiguousarray(self.intercept),
        }
        save_file(tensors, folder / TENSORS_FILE)
        config = {
            "kind": "logistic",
            "classes": list(self.classes),
            "link": "independent" if self.multi_label else "softmax",
            "n_features": int(self.coef.shape[1]),
        }
        text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
        (folder / CONFIG_FILE).write_text(text, encoding="utf-8")


def load_head(folder: Path) -> LogisticHead:
    """Read a head; raises IntegrityError when its parts do not fit together."""
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        tensors = load_file(folder / TENSORS_FILE)
        head = LogisticHead(
            classes=tuple(str(name) for name in config["classes"]),
            multi_label=config["link"] == "independent",
            coef=tensors["coef"],
            intercept=tensors["intercept"],
        )
        width, link = config["n_features"], config["link"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(f"the head in {folder} does not parse: {error}") from error
    if link not in ("independent", "softmax"):
        raise IntegrityError(f"the head in {folder} has an unknown link {link!r}")
    count = len(head.classes)
    outputs = 1 if count == 2 and not head.multi_label else count
    if head.coef.shape != (outputs, width) or head.intercept.shape != (outputs,):
        raise IntegrityError(f"the head in {folder} has weights of the wrong shape")
    return head


def rebuild(coef: Floats, intercept: Floats, classes: NDArray[Any]) -> LogisticRegression:
    """Return scikit-learn's classifier with these weights, as if it had been fitted."""
    model = LogisticRegression()
    # Fitting leaves Fortran order, and another order may round the last bit of a sum differently.
    model.coef_ = np.asfortranarray(coef)
    model.intercept_, model.classes_ = intercept, classes
    return model


def _probability_of_label(coef: Floats, intercept: np.float64, embeddings: Floats) -> Floats:
    if np.isinf(intercept):
        return np.full(len(embeddings), float(intercept > 0))
    model = rebuild(coef[None, :], np.array([intercept]), np.array([0, 1]))
    return np.asarray(model.predict_proba(embeddings))[:, 1]


def fit_head(
    embeddings: Floats, labels: Labels, multi_label: bool, c: float, tolerance: float = 1e-4
) -> LogisticHead:
    """Fit a head with inverse regularisation strength ``c`` on embeddings (rows, width).

    ``tolerance`` is scikit-learn's: it stops when no gradient is larger.
    """
    classes = tuple(sorted({name for row in labels for name in row}))
    if not multi_label:
        model = _fit(embeddings, [row[0] for row in labels], c, tolerance)
        return LogisticHead(classes, False, model.coef_, model.intercept_)
    coef = np.zeros((len(classes), embeddings.shape[1]))
    intercept = np.empty(len(classes))
    for number, name in enumerate(classes):
        carries = np.array([name in row for row in labels])
        if carries.all():
            intercept[number] = np.inf
        else:
            model = _fit(embeddings, carries.astype(int), c, tolerance)
            coef[number], intercept[number] = model.coef_[0], model.intercept_[0]
    return LogisticHead(classes, True, coef, intercept)


def _fit(embeddings: Floats, targets: Any, c: float, tolerance: float) -> LogisticRegression:
    # One BLAS thread: these products are small, and waiting threads cost 30 times the work.
    with threadpool_limits(limits=1, user_api="blas"), warnings.catch_warnings():
        # Few rows a class are what this is for, not a sign of a regression taken for classes.
        warnings.filterwarnings("ignore", message="The number of unique classes")
        model = LogisticRegression(C=c, max_iter=MAX_ITERATIONS, tol=tolerance)
        model.fit(embeddings, targets)
    if not np.isfinite(model.coef_).all():
        raise TrainingError("the logistic head did not converge to finite weights")
    return model


def score_rows(
    head: LogisticHead, embeddings: Floats, labels: Labels, threshold: float
) -> tuple[Floats, Floats]:
    """Score each row: its F1 (with one label a row: 1 if it is right, else 0) and its log-loss."""
    probabilities = head.predict_proba(embeddings)
    column = {name: i for i, name in enumerate(head.classes)}
    truth = np.zeros(probabilities.shape, dtype=bool)
    for row, names in enumerate(labels):
        truth[row, [column[name] for name in names if name in column]] = True
    clipped = probabilities.clip(1e-12, 1 - 1e-12)
    if head.multi_label:
        chosen = probabilities >= threshold
        total = chosen.sum(1) + truth.sum(1)
        shared = 2.0 * (chosen & truth).sum(1)
        f1 = np.divide(shared, total, out=np.ones(len(total)), where=total > 0)
        return f1, -np.where(truth, np.log(clipped), np.log1p(-clipped)).mean(1)
    right = truth[np.arange(len(truth)), probabilities.argmax(1)]
    return right.astype(float), -np.log(np.where(truth, clipped, 1.0)).sum(1)
