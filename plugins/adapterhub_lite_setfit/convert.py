"""Convert a pickled head: in a process of its own, under limits; here it is never unpickled.

:mod:`adapterhub_lite.isolation.jail` says what that process can and cannot do.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from adapterhub_lite.errors import BaseModelError
from adapterhub_lite.isolation.run import (
    DEFAULT_LIMITS,
    Answer,
    ConversionError,
    Limits,
    run_isolated,
)
from adapterhub_lite_setfit import convert_worker

MAX_FILE_BYTES = 64 * 2**20
MAX_CLASSES = 10_000
MAX_FEATURES = 65_536
HINT = "nothing in it was run; ahl fewshot trains a head anew, from the same rows"

Kind = Literal["LogisticRegression", "OneVsRestClassifier", "MultiOutputClassifier"]
Name = Annotated[str, Field(min_length=1, max_length=1000)]
Rows = Annotated[int, Field(ge=1, le=MAX_CLASSES)]
Width = Annotated[int, Field(ge=1, le=MAX_FEATURES)]


class _Fields(Answer):
    kind: Kind
    classes: Annotated[list[int | Name], Field(max_length=MAX_CLASSES)]
    shape: Annotated[tuple[Rows, Width], Field(strict=False)]
    sklearn: str = Field(pattern=r"^[0-9A-Za-z.+]{1,40}$")


@dataclass(frozen=True, slots=True)
class RawHead:
    """A head's numbers: ``classes`` as it was trained on them, none when it is multi-label.

    ``sklearn`` is the version that wrote it; ``isolation`` says how the conversion was kept from
    the network: by a namespace without one or, where the kernel allows none, by refusing sockets.
    """

    multi_label: bool
    classes: tuple[int | str, ...]
    coef: NDArray[np.float64]
    intercept: NDArray[np.float64]
    sklearn: str
    isolation: str


def convert_pickle(file: Path, limits: Limits = DEFAULT_LIMITS) -> RawHead:
    """Return the numbers of a pickled head.

    Raises BaseModelError when it holds anything but a scikit-learn logistic head, or reaches a
    limit.
    """
    try:
        return _convert(file, limits)
    except ConversionError as error:
        raise BaseModelError(
            f"{file.name} is refused: {error}", ref=str(file.parent), hint=HINT
        ) from None


def _convert(file: Path, limits: Limits) -> RawHead:
    if file.stat().st_size > MAX_FILE_BYTES:
        raise ConversionError(f"it takes more than {MAX_FILE_BYTES >> 20} MiB")
    nonsense = "its classes or sizes are not those of a classifier"
    fields, body = run_isolated(file, convert_worker, _Fields, limits, nonsense=nonsense)
    rows, width = fields.shape
    multi_label = fields.kind != "LogisticRegression"
    expected = rows if multi_label else (1 if len(fields.classes) == 2 else len(fields.classes))
    values = np.frombuffer(body, dtype=np.float64) if len(body) % 8 == 0 else np.empty(0)
    if rows != expected or len(values) != rows * (width + 1):
        raise ConversionError("its classes and weights do not fit together")
    coef, intercept = values[: rows * width].reshape(rows, width), values[rows * width :]
    if not _finite(coef, intercept, multi_label):
        raise ConversionError("it has weights that are not finite")
    classes = tuple(fields.classes)
    return RawHead(multi_label, classes, coef, intercept, fields.sklearn, fields.isolation)


def _finite(coef: NDArray[Any], intercept: NDArray[Any], multi_label: bool) -> bool:
    """Allow an infinite intercept only as a label's constant: no weights, one of several labels."""
    constant = np.isinf(intercept) & (coef == 0).all(axis=1) & multi_label
    return bool(np.isfinite(coef).all() and (np.isfinite(intercept) | constant).all())
