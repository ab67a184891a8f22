"""Plugins: which are installed, which may load, and what became of each.

A plugin is a module named by an entry point of the group ``adapterhub_lite``; ours come the same
way as a stranger's. pluggy's own loader skips a duplicate entry-point name without a word and lets
one broken import stop everything, so loading is done here: try, record the error, go on.
"""

from functools import cache
from typing import TYPE_CHECKING

from adapterhub_lite.plugins.commands import CommandSource, command_sources, load_command
from adapterhub_lite.plugins.discovery import (
    ALLOWLIST,
    FIRST_PARTY,
    GROUP,
    Barrier,
    PluginSource,
    canonical_name,
    installed_sources,
)
from adapterhub_lite.plugins.faults import conflict, one_line
from adapterhub_lite.plugins.loading import PluginRecord, Status

if TYPE_CHECKING:
    from adapterhub_lite.catalogue import Catalogue

__all__ = [
    "ALLOWLIST",
    "FIRST_PARTY",
    "GROUP",
    "Barrier",
    "CommandSource",
    "PluginRecord",
    "PluginSource",
    "Status",
    "canonical_name",
    "command_sources",
    "conflict",
    "get_catalogue",
    "installed_sources",
    "load_catalogue",
    "load_command",
    "one_line",
]


def load_catalogue(*, first_party_only: bool = False) -> "Catalogue":
    """Load every installed plugin into a fresh catalogue."""
    from adapterhub_lite.catalogue import Catalogue

    return Catalogue(installed_sources(first_party_only=first_party_only))


@cache
def get_catalogue(*, first_party_only: bool = False) -> "Catalogue":
    """Return the process's catalogue, loading it the first time; tests build their own."""
    return load_catalogue(first_party_only=first_party_only)
