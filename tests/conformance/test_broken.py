"""The kit finds what is broken: each fault fails its check, and no other."""

from pathlib import Path

import pytest

from tests.conformance.broken import loaders, methods, objectives, presets, specs
from tests.conformance.broken.entries import Broken, failures

ALL = (*specs.BROKEN, *methods.BROKEN, *objectives.BROKEN, *loaders.BROKEN, *presets.BROKEN)


@pytest.mark.parametrize("broken", ALL, ids=lambda broken: f"{broken.kind}-{broken.spec.name}")
def test_a_fault_fails_its_check_and_no_other(broken: Broken, shared: Path) -> None:
    found = {result.check: result for result in failures(broken, shared)}
    said = {name: result.message for name, result in found.items()}
    assert found.keys() == {broken.check, *broken.also}, said
    assert broken.says in said[broken.check]
    assert all(result.hint for result in found.values())


def test_names_are_unique() -> None:
    names = [(broken.kind, broken.spec.name) for broken in ALL]
    assert len(names) == len(set(names))
