"""``ahl doctor``: what works here, what does not, and the way out."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from adapterhub_lite.cli.common import emit_json, json_option, settings, shared_options

if TYPE_CHECKING:
    from adapterhub_lite.environment import Finding

WIDTH = 24


@click.command(short_help="Examine the environment: versions, plugins, device, registry.")
@click.option("--quick", is_flag=True, help="Leave out the device: torch takes long to import.")
@json_option
@shared_options
def doctor(quick: bool, as_json: bool) -> None:
    """Examine libraries, extras, plugins, device, models, registry and disks.

    Nothing is changed. Exits with 1 when there is a fault; each comes with the way out of it.
    """
    from adapterhub_lite.environment import examine
    from adapterhub_lite_registry import default_home

    findings: list[Finding] = []
    for finding in examine(settings().home or default_home(), quick=quick):
        findings.append(finding)
        if not as_json:
            _print(finding)
    counts = {level: sum(f.level == level for f in findings) for level in ("fault", "warning")}
    if as_json:
        emit_json({"healthy": not counts["fault"], "findings": [asdict(f) for f in findings]})
    else:
        click.echo(_verdict(**counts))
    if counts["fault"]:
        raise click.exceptions.Exit(1)


def _print(finding: "Finding") -> None:
    mark = "" if finding.level == "ok" else f"{finding.level}: "
    click.echo(f"{finding.subject:<{WIDTH}}  {mark}{finding.message}")
    if finding.way_out:
        click.echo(f"{'':<{WIDTH}}  → {finding.way_out}")


def _verdict(fault: int, warning: int) -> str:
    """Say how many faults and warnings there are."""
    faults = f"{fault or 'no'} fault{'' if fault == 1 else 's'}"
    return f"\n{faults}" + (f", {warning} warning{'' if warning == 1 else 's'}" if warning else "")
