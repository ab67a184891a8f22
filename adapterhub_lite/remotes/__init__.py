"""Versions go to places elsewhere, and come from them: the same bytes under the same digest."""

from adapterhub_lite.remotes.pull import Pulled, pull_version
from adapterhub_lite.remotes.push import Pushed, push_version
from adapterhub_lite.remotes.sync import Synced, sync_remote

__all__ = ["Pulled", "Pushed", "Synced", "pull_version", "push_version", "sync_remote"]
