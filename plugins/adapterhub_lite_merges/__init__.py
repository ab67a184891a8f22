"""The merge strategies, one module a family; their specs lie beside their parameters."""

from collections.abc import Iterable
from typing import Final

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import ConformanceCase, MergeSpec
from adapterhub_lite_merges.conformance import CASES
from adapterhub_lite_merges.specs import (
    arithmetic,
    competition,
    data_driven,
    fusion,
    interference,
    lowrank,
    overlap,
    scaling,
    selecting,
    sparse,
    spectral,
    spherical,
    stock,
)

# Gathered once: an implementation, when it is imported, takes the name of its specs' module.
SPECS: Final = (
    *arithmetic.SPECS,
    *sparse.SPECS,
    *lowrank.SPECS,
    *competition.SPECS,
    *fusion.SPECS,
    *overlap.SPECS,
    *scaling.SPECS,
    *selecting.SPECS,
    *spherical.SPECS,
    *stock.SPECS,
    *spectral.SPECS,
    *interference.SPECS,
    *data_driven.SPECS,
)


@hookimpl
def adapterhub_merge_strategies() -> Iterable[MergeSpec]:
    """Offer the strategies."""
    return SPECS


@hookimpl
def adapterhub_conformance() -> Iterable[ConformanceCase]:
    """Say with which parameters strategies are checked, and what they change on purpose."""
    return CASES
