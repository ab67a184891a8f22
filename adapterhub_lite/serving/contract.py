"""What a server needs of whoever answers; :class:`~adapterhub_lite.inference.fleet.Fleet` does."""

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Protocol

from adapterhub_lite.errors import AdapterHubError
from adapterhub_lite.inference.fleet import Asked
from adapterhub_lite.inference.generation import GenerationOptions
from adapterhub_lite.predictions import Generated, Prediction


class Writes(Protocol):
    """A loaded version that writes text piece by piece."""

    def member(self, name: str) -> "Writes":
        """Return a composition's member."""

    def stream(
        self, asked: Any, options: GenerationOptions | None
    ) -> Generator[str, None, Generated]:
        """Yield the pieces of an answer, each computed when it is asked for; return the whole."""


class Answers(Protocol):
    """Versions that answer; all but ``resolve`` is called by one thread."""

    def resolve(self, ref: str) -> str:
        """Return the version that a reference means now."""

    def predictor(self, ref: str) -> Writes:
        """Return a loaded version."""

    def predict(self, asked: Sequence[Asked]) -> list[Prediction | AdapterHubError]:
        """Answer rows, each by its own version; a row's failure is its own."""

    def loaded(self) -> Mapping[str, int]:
        """Return the loaded versions, and the bytes that each holds beyond its base."""
