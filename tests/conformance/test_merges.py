"""The merge strategies are held to the kit, and broken ones fail the check that they should."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.specs import ConformanceCase
from adapterhub_lite.testing import check_offer
from adapterhub_lite.testing.merge_checks.results import (
    check_identical_models_are_returned,
    check_one_model_is_returned,
)
from tests.conformance.broken.entries import Broken, failures
from tests.conformance.broken.merges import BROKEN

CATALOGUE = get_catalogue(first_party_only=True)
SPARSE = ("ties", "breadcrumbs", "breadcrumbs_ties", "knots", "dare_linear", "dare_ties")
NEUTRAL: Mapping[str, Mapping[str, Any]] = {
    **{name: {"density": 1.0} for name in SPARSE},
    "sce": {"select_topk": 1.0},
    "lines": {"alpha": 1.0, "beta": 0.0},
}
"""Settings at which a strategy that leaves something out, or scales, has to return a model."""


@pytest.mark.parametrize("name", CATALOGUE.names("strategy"))
def test_a_strategy_passes(name: str, shared: Path) -> None:
    results = list(check_offer(CATALOGUE.offer("strategy", name), CATALOGUE, shared=shared))
    assert not [(result.check, result.message) for result in results if not result.ok]
    assert sum(result.status == "passed" for result in results) > 8


@pytest.mark.parametrize("name", NEUTRAL)
def test_a_neutral_setting_returns_the_model(name: str, shared: Path) -> None:
    case = ConformanceCase(kind="strategy", name=name, params=NEUTRAL[name])
    offer = CATALOGUE.offer("strategy", name)
    checks = [check_one_model_is_returned, check_identical_models_are_returned]
    results = check_offer(offer, CATALOGUE, checks=checks, case=case, shared=shared / "neutral")
    assert [(result.status, result.message) for result in results] == [("passed", "")] * 2


@pytest.mark.parametrize("broken", BROKEN, ids=str)
def test_a_broken_strategy_fails_one_check(broken: Broken, tmp_path: Path) -> None:
    found = failures(broken, tmp_path)
    assert [result.check for result in found] == [broken.check], found
    assert broken.says in found[0].message
    assert found[0].hint
