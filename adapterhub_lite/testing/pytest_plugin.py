"""The pytest plugin: gives each conformance class its checks, as tests with readable names.

Every run of pytest on this machine imports this module, so it imports pytest alone.
"""

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="class")
def conformance_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the checks of one class share, for what is dear to make."""
    return tmp_path_factory.mktemp("conformance")


def pytest_generate_tests(metafunc: Any) -> None:
    """Make one test of each check of a conformance class."""
    if "conformance_check" in metafunc.fixturenames and metafunc.cls is not None:
        checks = metafunc.cls.checks()
        metafunc.parametrize("conformance_check", checks, ids=[check.__name__ for check in checks])
