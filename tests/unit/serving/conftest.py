"""A registry with a version of each task, and a server of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapterhub_lite_registry import Registry
from tests.unit.serving.running import TASKS, Running, publish, running


@pytest.fixture
def registry(home: Path) -> Registry:
    """A registry with a version of each name."""
    found = Registry.open(home)
    for name in TASKS:
        publish(found, name)
    return found


@pytest.fixture(scope="package")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server for tests that leave it as it is."""
    registry = Registry.open(tmp_path_factory.mktemp("shared"))
    for name in TASKS:
        publish(registry, name)
    with running(registry) as server:
        yield server


@pytest.fixture
def server(registry: Registry) -> Iterator[Running]:
    """A server of all but ``secret``, with the limits that a server has by default."""
    with running(registry) as server:
        yield server
