"""What is offered by methods and objectives whose adapters answer rows of one batch together."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from adapterhub_lite.protocols.generation import GenerationOptions
from adapterhub_lite.protocols.models import LoadedBase, Method
from adapterhub_lite.protocols.objectives import Scorer
from adapterhub_lite.specs import Head

if TYPE_CHECKING:
    from torch import nn

    from adapterhub_lite.predictions import Generated, Prediction


class HeldAdapter(Protocol):
    """An adapter on a base that others share; it lives as long as somebody refers to it."""

    @property
    def model(self) -> nn.Module:
        """What answers all rows by this adapter, called as the base's model is.

        Its ``config`` has the adapter's own labels.
        """

    @property
    def nbytes(self) -> int:
        """The bytes it holds beyond the base."""


class AdapterHost(Protocol):
    """A base with adapters beside one another; its own weights stay as they are."""

    def add(self, head: Head, folder: Path) -> HeldAdapter:
        """Read what the method's ``save`` wrote, with layers of ``head``.

        Raises IntegrityError for files that do not fit the base, and CapabilityError for an adapter
        whose settings allow no shared pass: it is loaded by itself, its rows are answered apart.
        """

    def rows(self, adapters: Sequence[HeldAdapter]) -> nn.Module:
        """Return what answers row i of a batch by ``adapters[i]``, in one pass over the base.

        Outputs of layers that are an adapter's own are filled up with zeros to the widest. Called
        with another number of rows, or where rows cannot be told apart, it raises CapabilityError.
        """


class MixedMethod(Method, Protocol):
    """A method whose adapters share a pass; behind specs of the capability ``shared-pass``."""

    def host(self, base: LoadedBase) -> AdapterHost:
        """Return what holds adapters on ``base``."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one adapter within a pass: who answers, what is asked, how texts are generated.

    ``options`` has one entry an input; only a :class:`WritingScorer` gets others than None.
    """

    scorer: Any
    inputs: Sequence[Any]
    options: Sequence[GenerationOptions | None]


@runtime_checkable
class MixedScorer(Scorer, Protocol):
    """A scorer that answers its rows together with those of scorers of its class."""

    def predict_mixed(
        self, parts: Sequence[Part], rows: Callable[[Sequence[int]], nn.Module]
    ) -> list[list[Prediction]]:
        """Answer each part as its scorer does alone.

        ``rows`` takes the number of a part for each row of a batch, and returns what is called
        with that batch: an :meth:`AdapterHost.rows`.
        """


@runtime_checkable
class WritingScorer(Scorer, Protocol):
    """A scorer that writes text."""

    @property
    def chats(self) -> bool:
        """Whether it learnt to answer messages; otherwise it goes on from a text."""

    def write(
        self,
        inputs: Sequence[Any],
        options: Sequence[GenerationOptions | None],
        progress: Callable[[int], None] | None = None,
    ) -> list[Prediction]:
        """Write a text for each input, by its own options."""

    def stream(
        self, asked: Any, options: GenerationOptions | None
    ) -> Generator[str, None, Generated]:
        """Yield the pieces of a text as they are made, joined what ``write`` gives; return that."""


@runtime_checkable
class EmbeddingScorer(Scorer, Protocol):
    """A scorer that gives embeddings."""

    def embed(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> Any:
        """Return embeddings (texts, width) in float64."""
