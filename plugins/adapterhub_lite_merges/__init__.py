"""The merge strategies, one module a family; their specs lie beside their parameters."""

from collections.abc import Iterable

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import MergeSpec
from adapterhub_lite_merges.specs import arithmetic


@hookimpl
def adapterhub_merge_strategies() -> Iterable[MergeSpec]:
    """Offer the strategies."""
    return [*arithmetic.SPECS]
