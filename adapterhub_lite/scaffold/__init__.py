"""A new plugin, as a complete distribution: what ``ahl plugins new`` writes."""

from adapterhub_lite.scaffold.kinds import KINDS, Kind
from adapterhub_lite.scaffold.write import write_plugin

__all__ = ["KINDS", "Kind", "write_plugin"]
