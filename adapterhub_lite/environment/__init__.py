"""What ``ahl doctor`` examines: libraries, plugins, machine and registry, each by itself."""

from adapterhub_lite.environment.examine import examine
from adapterhub_lite.environment.findings import Finding, Level

__all__ = ["Finding", "Level", "examine"]
