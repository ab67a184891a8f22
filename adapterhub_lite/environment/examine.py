"""The examination: every part of it reports, whatever state the others are in."""

from collections.abc import Callable, Iterator
from pathlib import Path

from adapterhub_lite.environment.device import DeviceProbe
from adapterhub_lite.environment.findings import Finding
from adapterhub_lite.environment.libraries import extra_findings, library_findings
from adapterhub_lite.environment.machine import cache_findings, disk_findings, processor_findings
from adapterhub_lite.environment.plugins import plugin_findings
from adapterhub_lite.environment.store import registry_findings
from adapterhub_lite.plugins import one_line


def examine(home: Path, *, quick: bool = False) -> Iterator[Finding]:
    """Yield everything that is found, faults and what is well.

    ``home`` is the registry's. ``quick`` leaves out what needs torch to be imported. Nothing is
    written, and no third-party code runs in this process.
    """
    device = None if quick else DeviceProbe()  # torch takes seconds to import: meanwhile the rest
    parts: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("libraries", library_findings),
        ("extras", extra_findings),
        ("plugins", plugin_findings),
        ("machine", processor_findings),
        ("models", cache_findings),
        ("registry", lambda: registry_findings(home)),
        ("disk", lambda: disk_findings(home)),
    ]
    if device is not None:
        parts.append(("device", device.findings))
    for area, part in parts:
        try:
            yield from part()
        except Exception as error:  # what is examined may be broken in any way
            yield Finding(
                area=area,
                subject=area,
                level="fault",
                message=f"cannot be examined: {getattr(error, 'message', None) or one_line(error)}",
                way_out=getattr(error, "hint", "") or "mend that, and run: ahl doctor",
            )
