"""What needs no training of its own is held to the kit, and broken ones fail it."""

from pathlib import Path

import pytest

from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.testing import check_offer
from tests.conformance.broken import compositions, exchanges, metrics, places, readers
from tests.conformance.broken.entries import Broken, failures

CATALOGUE = get_catalogue(first_party_only=True)
KINDS = (
    *("reader", "metric", "composition", "exporter", "importer", "remote"),
    "report section",
)
OFFERS = [(kind, name) for kind in KINDS for name in CATALOGUE.names(kind)]
BROKEN = (
    *(*readers.BROKEN, *metrics.BROKEN, *compositions.BROKEN),
    *(*exchanges.BROKEN, *places.BROKEN),
)


@pytest.mark.parametrize(("kind", "name"), OFFERS, ids=lambda value: str(value))
def test_an_offer_passes(kind: str, name: str, shared: Path) -> None:
    results = list(check_offer(CATALOGUE.offer(kind, name), CATALOGUE, shared=shared))
    assert not [(result.check, result.message) for result in results if not result.ok]
    least = 2 if kind == "remote" else 5  # of most remotes, which need a server, little is tried
    assert sum(result.status == "passed" for result in results) >= least


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: f"{broken.kind}-{broken}")
def test_a_broken_offer_fails_one_check(broken: Broken, shared: Path, tmp_path: Path) -> None:
    place = shared / f"{broken.kind}-{broken}"
    place.mkdir()
    (shared / "exchange-registry").mkdir(exist_ok=True)
    (place / "exchange-registry").symlink_to(shared / "exchange-registry")  # trained once for all
    found = failures(broken, place)
    assert [result.check for result in found] == [broken.check, *broken.also], found
    assert broken.says in found[0].message
    assert found[0].hint
