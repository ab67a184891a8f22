"""What first-party plugins offer for training passes the conformance kit.

Merges have a module of their own here, and so has what needs no training. The offers come from the
catalogue, so a new one is covered without being listed. Each is looked at on one architecture;
``MATRIX=all`` looks at every one that it declares.
"""

import os
from pathlib import Path

import pytest

from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.plugins.admitted import Offer
from adapterhub_lite.testing import check_offer

CATALOGUE = get_catalogue(first_party_only=True)
ELSEWHERE = {
    *("strategy", "reader", "metric", "composition", "exporter", "importer", "remote"),
    "report section",
}
OFFERS = [offer for offer in CATALOGUE.offers if offer.kind not in ELSEWHERE]
QUICK = os.environ.get("MATRIX") != "all"
UNATTACHABLE = {"cpt", "multitask-prompt", "poly", "xlora"}
"""Methods that are listed with the reason for which they cannot be trained here."""

# FRoD multiplies by sparse matrices, of which torch says that it does not check them
pytestmark = [
    pytest.mark.filterwarnings("ignore:Sparse invariant:UserWarning"),
    # PEFT asks models for it when a base in few bits is prepared
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning"),
]


@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: f"{offer.kind}-{offer.spec.name}")
def test_an_offer_passes(offer: Offer, shared: Path) -> None:
    results = list(check_offer(offer, CATALOGUE, shared=shared, quick=QUICK))
    faults = [f"{found.check}: {found.message} ({found.hint})" for found in results if not found.ok]
    assert not faults, "\n".join(faults)
    if offer.kind == "method" and offer.spec.name not in UNATTACHABLE:
        assert sum(found.status == "passed" for found in results) > 20


def test_methods_that_cannot_be_trained_say_why(shared: Path) -> None:
    for name in UNATTACHABLE:
        results = check_offer(CATALOGUE.offer("method", name), CATALOGUE, shared=shared)
        skipped = {found.message for found in results if found.check == "check_attaches"}
        assert skipped == {f"it cannot be attached: {CATALOGUE.method(name).refusals['none']}"}
