"""my-plugin keeps what a remote promises: run pytest, or ahl plugins check my-plugin."""

from pathlib import Path

import pytest
from my_plugin import open_remote

from adapterhub_lite.errors import RemoteError
from adapterhub_lite.testing import RemoteConformance


class TestMyRemote(RemoteConformance):
    """Each check of the conformance kit becomes a test."""

    name = "my-remote"


def test_a_folder_that_is_not_there_is_no_place_to_pull_from(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="no folder"):
        open_remote(f"my-remote:{tmp_path / 'nowhere'}", create=False)
