"""Whether what was deployed answers as the trained version: both asked the same, and compared."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.deployment.asking import model_answers, probe_inputs
from adapterhub_lite.errors import DataError, SelfTestError
from adapterhub_lite.inference.artifact import ArtifactInfo
from adapterhub_lite.inference.loading import load_model
from adapterhub_lite.inference.predictor import Predictor
from adapterhub_lite.protocols import Tolerance
from adapterhub_lite.scoring import ProbabilityScorer
from adapterhub_lite.specs import ResolvedBase

if TYPE_CHECKING:
    from numpy.typing import NDArray

Quantity = Literal["logits", "values", "embeddings"]

CERTAIN: Final = 30.0
"""A logit beyond which probabilities are the same to a double's last digits."""

ROUNDED: Final = 5e-2
"""The difference allowed where the version's base computed in fewer bits than its deployment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How far a folder's answers are from the version's.

    ``difference`` is the largest of two numbers, of embeddings the length of their difference;
    ``scale`` is the largest of the version's.
    ``agreement`` is the share of equal decisions; None where nothing is decided.
    """

    inputs: int
    quantity: Quantity
    difference: float
    scale: float
    agreement: float | None
    tolerance: Tolerance

    @property
    def holds(self) -> bool:
        """Whether the answers are within the tolerance; what is not a number is not."""
        near = self.difference <= self.tolerance.difference * max(1.0, self.scale)
        return near and (self.agreement is None or self.agreement >= self.tolerance.agreement)

    def record(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return asdict(self)

    def summary(self) -> str:
        """Return the figures in a line."""
        decided = "" if self.agreement is None else f", {self.agreement:.1%} of decisions equal"
        return f"{self.quantity} differ by {self.difference:.1e}{decided}, on {self.inputs} inputs"


@dataclass(frozen=True, slots=True)
class Answers:
    """What a version answers: one array an input.

    ``multi_label`` and ``threshold``, a logit, say what is decided by logits over whole texts.
    """

    quantity: Quantity
    arrays: tuple["NDArray[Any]", ...]
    multi_label: bool = False
    threshold: float = 0.0


def ask_version(
    folder: Path,
    info: ArtifactInfo,
    base: ResolvedBase,
    catalogue: Catalogue,
    inputs: Sequence[Any] | None,
) -> tuple[Answers, tuple[Any, ...]]:
    """Return what a version answers to ``inputs``, else to fixed ones, and what it was asked.

    Raises DataError for inputs that it does not take, or none.
    """
    spec = catalogue.objective(info.objective)
    model = load_model(folder, info, base, catalogue, "cpu")
    scorer = catalogue.implementation(spec).load(model, folder)
    predictor = Predictor(scorer, folder.name, info.task, spec.rows, pairs=spec.pairs)
    if inputs is None:
        return _ask_probes(predictor, scorer, model, spec.pairs)
    if not inputs:
        raise DataError("there are no inputs to compare by", hint="give at least one")
    return _ask(predictor, scorer, model, inputs), tuple(inputs)


def _ask_probes(
    predictor: Predictor, scorer: Any, model: Any, pairs: bool
) -> tuple[Answers, tuple[Any, ...]]:
    """Ask what nobody chose; a version that learnt from pairs refuses single texts."""
    inputs = probe_inputs(predictor.rows_kind)
    try:
        return _ask(predictor, scorer, model, inputs), inputs
    except DataError:
        if not pairs:
            raise
    inputs = probe_inputs(predictor.rows_kind, pairs=True)
    return _ask(predictor, scorer, model, inputs), inputs


def _ask(predictor: Predictor, scorer: Any, model: Any, inputs: Sequence[Any]) -> Answers:
    import numpy as np

    if isinstance(scorer, ProbabilityScorer):
        logits = tuple(_logits(predictor.predict_proba(inputs), predictor.multi_label))
        share = scorer.threshold
        return Answers("logits", logits, predictor.multi_label, float(np.log(share / (1 - share))))
    if predictor.task == "text-regression":
        values = [one.record()["value"] for one in predictor.predict(inputs)]
        return Answers("values", tuple(np.array([value]) for value in values))
    if predictor.task == "sentence-similarity":
        vectors = [one.record()["embedding"] for one in predictor.predict(inputs)]
        return Answers("embeddings", tuple(map(np.array, vectors)))
    found = model_answers(model.model, model.tokenizer, predictor.task, inputs)
    return Answers("logits", tuple(found))


def _logits(probabilities: "NDArray[Any]", multi_label: bool) -> "NDArray[Any]":
    """Return the logits of probabilities; of one label a text only up to a constant."""
    import numpy as np

    with np.errstate(divide="ignore"):
        found = np.log(probabilities)
        found = found - np.log1p(-probabilities) if multi_label else found
    return np.asarray(found.clip(-CERTAIN, CERTAIN))


def compare(
    version: Answers, found: Sequence["NDArray[Any]"], tolerance: Tolerance, loader: str
) -> Parity:
    """Return how far ``found`` is from the version's answers; infinitely where shapes differ.

    Logits of one label a text are compared without the constant that does not matter to them.
    ``loader`` is the version's: where it computes in fewer bits, its own rounding is allowed.
    """
    if loader != "fp32":
        tolerance = replace(tolerance, difference=max(tolerance.difference, ROUNDED))
    pairs = [_alike(version, a, b) for a, b in zip(version.arrays, found, strict=True)]
    size = _longest if version.quantity == "embeddings" else _largest
    same_shapes = all(a.shape == b.shape for a, b in pairs)
    return Parity(
        inputs=len(pairs),
        quantity=version.quantity,
        difference=size([a - b for a, b in pairs]) if same_shapes else float("inf"),
        scale=size([a for a, _ in pairs]),
        agreement=_agreement(version, pairs) if same_shapes else 0.0,
        tolerance=tolerance,
    )


def require_parity(parity: Parity, target: str) -> None:
    """Raise SelfTestError when the answers differ by more than the tolerance."""
    if not parity.holds:
        allowed = parity.tolerance.difference * max(1.0, parity.scale)
        raise SelfTestError(
            f"what {target!r} answers is not what the version answers: {parity.summary()}; "
            f"allowed are {allowed:.1e} and {parity.tolerance.agreement:.1%}",
            hint="nothing was written; take more bits (the target's parameters), or report it",
        )


def _alike(
    version: Answers, first: "NDArray[Any]", second: "NDArray[Any]"
) -> tuple["NDArray[Any]", "NDArray[Any]"]:
    """Return two answers in a form in which equal ones have equal numbers, as doubles."""
    import numpy as np

    pair = [np.asarray(first, np.float64), np.asarray(second, np.float64)]
    if version.quantity == "logits" and pair[0].ndim == 1:
        if not version.multi_label:
            pair = [one - _log_sum_exp(one) for one in pair]
        pair = [one.clip(-CERTAIN, CERTAIN) for one in pair]
    return pair[0], pair[1]


def _log_sum_exp(logits: "NDArray[Any]") -> float:
    import numpy as np

    largest = float(logits.max())
    return largest + float(np.log(np.exp(logits - largest).sum()))


def _largest(arrays: Sequence["NDArray[Any]"]) -> float:
    """Return the largest size of a number; NaN where one is."""
    import numpy as np

    return float(np.max([abs(array).max(initial=0.0) for array in arrays]))


def _longest(arrays: Sequence["NDArray[Any]"]) -> float:
    """Return the length of the longest vector; NaN where one is."""
    import numpy as np

    return float(np.max([np.linalg.norm(array) for array in arrays]))


def _agreement(
    version: Answers, pairs: Sequence[tuple["NDArray[Any]", "NDArray[Any]"]]
) -> float | None:
    import numpy as np

    if version.quantity != "logits":
        return None
    if version.multi_label:
        same = [(a >= version.threshold) == (b >= version.threshold) for a, b in pairs]
    else:
        same = [np.atleast_1d(a.argmax(-1) == b.argmax(-1)) for a, b in pairs]
    return float(np.concatenate(same).mean())
