"""What a merge strategy must offer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from adapterhub_lite.streaming.factors import Compressed, Factors, RankChoice
    from adapterhub_lite.streaming.tensors import MergeTensor


class MergeStrategy(Protocol):
    """Makes one tensor of several; called for each tensor, from several threads at once.

    A strategy of the capability ``whole-model`` also has ``prepare(tensors) -> Any``, called once
    with all of them; what it returns is every tensor's ``prepared``.
    """

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Return what speaks against merging with these parameters, before a number is read.

        Called for each combination that some tensor is merged with.
        """

    def merge(self, tensor: MergeTensor) -> None:
        """Go over the tensor's chunks, as often as needed, and write each chunk's result once."""


class DataStrategy(MergeStrategy, Protocol):
    """A merge strategy that computes with rows of data; behind specs with ``needs-data``.

    ``subjects`` are a :class:`~adapterhub_lite.merging.subjects.Subject` for each model, in the
    order of the models.
    """

    def check_subjects(self, subjects: Sequence[Any]) -> Sequence[str]:
        """Return what speaks against computing with these models, before a weight is loaded."""

    def prepare_with_data(
        self, tensors: Sequence[MergeTensor], subjects: Sequence[Any], params: Any
    ) -> Any:
        """Return what is every tensor's ``prepared``; called once, in place of ``prepare``.

        ``params`` are the strategy's, the same for all ``tensors``.
        """


class LowRankStrategy(Protocol):
    """Makes one LoRA update of several, as factors; behind specs of the capability ``low-rank``."""

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Return what speaks against merging with these parameters, before a number is read."""

    def merge_factors(
        self,
        factors: Sequence[Factors],
        params: Any,
        models: Sequence[Any],
        rank: RankChoice | None,
    ) -> Compressed:
        """Merge one module's updates, of which those that an adapter lacks have rank zero.

        ``models`` are each model's parameters. ``rank`` is None when nobody says: the strategy
        chooses. Raises CapabilityError for a rank that the strategy cannot give.
        """
