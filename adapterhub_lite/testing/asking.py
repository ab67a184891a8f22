"""Ask what answers the same in several ways: in another order, alone, a second time."""

from collections.abc import Sequence
from typing import Any, Protocol

from adapterhub_lite.predictions import Prediction
from adapterhub_lite.testing.numbers import alike
from adapterhub_lite.testing.outcomes import CheckFailedError


class Answering(Protocol):
    """A scorer or a predictor."""

    def predict(self, inputs: Sequence[Any]) -> Sequence[Prediction]:
        """Return a prediction for each input, in order."""


def records(found: Answering, inputs: Sequence[Any]) -> list[Any]:
    """Return what is answered, as records that can be compared."""
    return [prediction.record() for prediction in found.predict(inputs)]


def require_order(found: Answering, inputs: Sequence[Any]) -> None:
    """Raise CheckFailedError unless each input gets its one prediction, and none gets none."""
    answered = records(found, inputs)
    if len(answered) != len(inputs):
        raise CheckFailedError(f"{len(inputs)} inputs get {len(answered)} predictions")
    backwards = records(found, inputs[::-1])[::-1]
    for number, (one, other) in enumerate(zip(answered, backwards, strict=True)):
        if not alike(one, other):
            raise CheckFailedError(
                f"input {number} of {len(inputs)} is answered otherwise when all are asked in the "
                f"other order: {one} and {other}"
            )
    if found.predict([]):
        raise CheckFailedError("no inputs get predictions")


def require_no_company(found: Answering, inputs: Sequence[Any]) -> None:
    """Raise CheckFailedError where an input is answered alone otherwise than beside others."""
    together = records(found, inputs)
    for number in (0, len(inputs) - 1):
        (alone,) = records(found, [inputs[number]])
        if not alike(alone, together[number]):
            raise CheckFailedError(
                f"input {number} alone: {alone}, and beside others: {together[number]}"
            )
