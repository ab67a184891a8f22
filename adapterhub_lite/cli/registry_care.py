"""``ahl fsck``, ``repair`` and ``gc``: looking after what the registry holds."""

import re
import secrets
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from adapterhub_lite.cli.common import emit_json, json_option, settings, shared_options
from adapterhub_lite.cli.registry_bar import LateBar
from adapterhub_lite.cli.registry_common import human_size, open_registry

if TYPE_CHECKING:
    from adapterhub_lite_registry import FsckReport, Reading, Tally
    from adapterhub_lite_registry.repair import ByteSource

SEEDS = 1 << 32
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _share(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """Return ``2.5%`` as 0.025."""
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]*\.?[0-9]+)%", value)
    if found is None or not 0 < float(found[1]) <= 100:
        raise click.BadParameter(f"{value!r} is no share: write it like 2.5%")
    return float(found[1]) / 100


def _period(_: click.Context, __: click.Parameter, value: str) -> float:
    """Return ``14d``, ``12h`` or ``0`` in seconds."""
    found = re.fullmatch(r"([0-9]+)([smhd])", "0s" if value == "0" else value)
    if found is None:
        raise click.BadParameter(f"{value!r} is no period: write it like 14d, 12h or 0")
    return float(int(found[1]) * UNITS[found[2]])


@click.command("fsck")
@click.argument("ref", required=False)
@click.option("--read-data", is_flag=True, help="Read and hash every file.")
@click.option("--sample", callback=_share, metavar="SHARE",
              help="Read and hash that share of the files, as in 2.5%.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, SEEDS - 1), help="Choose the sample by this.")
@json_option
@shared_options
def fsck(
    ref: str | None, read_data: bool, sample: float | None, seed: int | None, as_json: bool
) -> None:
    """Check the registry, or one version, and list what is damaged.

    References, manifests, aliases with their log, and the index are read; files have to be there
    and of the right size, and are hashed on request. Exits with 1 if anything is damaged.

    \b
    ahl fsck
    ahl fsck --read-data
    ahl fsck support@prod --read-data
    ahl fsck --sample 2.5% --seed 7
    """
    if read_data and sample is not None:
        raise click.UsageError("--read-data reads every file: leave --sample out")
    if seed is not None and sample is None:
        raise click.UsageError("--seed chooses a sample: say how large, with --sample")
    with LateBar() as bar:
        report = open_registry().fsck(
            ref, read_data=read_data, sample=_reading(sample, seed), progress=bar.update
        )
    if as_json:
        emit_json(asdict(report))
    else:
        _show_report(report)
    if report.problems:
        raise click.exceptions.Exit(1)


def _reading(share: float | None, seed: int | None) -> "Reading | None":
    from adapterhub_lite_registry import Reading

    if share is None:
        return None
    return Reading(share, secrets.randbelow(SEEDS) if seed is None else seed)


def _show_report(report: "FsckReport") -> None:
    for problem in report.problems:
        click.echo(problem)
    click.echo(f"{'versions':<14}{report.versions}")
    click.echo(f"{'files':<14}{_spell(report.files)}")
    if report.reading is None:
        click.echo(f"{'read':<14}none; to hash them: ahl fsck --read-data")
    else:
        sampled = "" if report.reading.share >= 1 else f", chosen by --seed {report.reading.seed}"
        click.echo(f"{'read':<14}{_spell(report.read)}{sampled}")
    for label, found, what in (
        ("unreferenced", report.unreferenced, "no version needs them; see: ahl gc --dry-run"),
        ("temporary", report.temporary, "in progress, or left by a run that was killed"),
        ("quarantine", report.quarantined, "on their way out, by ahl gc"),
    ):
        if found.files:
            click.echo(f"{label:<14}{_spell(found)}: {what}")
    count = len(report.problems)
    if count:
        line = f"{count} problem{'s' if count > 1 else ''}; to mend what can be: ahl repair"
        click.echo(line, err=True)
    else:
        click.echo("no problems")


@click.command("repair")
@click.argument("ref", required=False)
@click.option("--from", "addresses", multiple=True, metavar="REMOTE",
              help="Ask this place for what is lost; may be repeated.")  # fmt: skip
@json_option
@shared_options
def repair(ref: str | None, addresses: tuple[str, ...], as_json: bool) -> None:
    """Mend what is damaged in the registry, or in one version.

    Everything is read and hashed. What is damaged comes back by its hash: from quarantine, from
    REMOTE, or from the remotes of 'ahl config'. What nobody has goes to quarantine, and its
    versions stay listed, as damaged. Exits with 1 if something could not be mended.

    \b
    ahl repair
    ahl repair support@7 --from file:/srv/adapters
    """
    registry = open_registry()
    wanted = list(dict.fromkeys([*addresses, *registry.config.remotes]))
    with ExitStack() as stack, LateBar() as bar:
        sources = [source for address in wanted if (source := _source(address, stack))]
        done = registry.repair(ref, sources=sources, progress=bar.update)
    if as_json:
        emit_json([asdict(outcome) for outcome in done])
    else:
        for outcome in done:
            click.echo(f"{outcome.problem}")
            click.echo(f"  {outcome.how}")
        lost = [outcome for outcome in done if not outcome.mended]
        click.echo(_sum_up(len(done), len(lost)), err=bool(lost))
        if lost and not wanted:
            click.echo("  hint: name a place that may have it: ahl repair --from REMOTE", err=True)
    if any(not outcome.mended for outcome in done):
        raise click.exceptions.Exit(1)


def _sum_up(found: int, lost: int) -> str:
    if not found:
        return "nothing is damaged"
    return f"{found - lost} of {found} mended"


def _source(address: str, stack: ExitStack) -> "tuple[str, ByteSource] | None":
    """Open a remote; one that cannot be reached is told of, and the others are asked."""
    from adapterhub_lite.errors import RemoteError
    from adapterhub_lite.plugins import get_catalogue
    from adapterhub_lite.remotes.opening import opened

    catalogue = get_catalogue(first_party_only=settings().no_plugins)
    try:
        return address, stack.enter_context(opened(address, catalogue, create=False))
    except RemoteError as error:
        click.echo(f"warning: {error.message}", err=True)
        return None


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
@click.option("--grace", callback=_period, default="14d", show_default=True,
              help="How old files have to be.")  # fmt: skip
@click.option("--quarantine", callback=_period, default="14d", show_default=True,
              help="How long they then stay in quarantine.")  # fmt: skip
@json_option
@shared_options
def gc(dry_run: bool, grace: float, quarantine: float, as_json: bool) -> None:
    """Collect the files that no version needs.

    They go to quarantine first, and leave it for good when a later run finds that they lay there
    long enough. Others may publish meanwhile; with a short grace, a pull that is under way may
    have to be repeated.

    \b
    ahl gc --dry-run
    ahl gc
    ahl gc --grace 0 --quarantine 0
    """
    report = open_registry().gc(grace=grace, quarantine=quarantine, dry_run=dry_run)
    if as_json:
        return emit_json(asdict(report))
    would = "would be " if dry_run else ""
    lines = [
        (report.moved, f"{would}moved to quarantine"),
        (report.emptied, f"{would}removed from quarantine, for good"),
        (report.restored, f"{would}brought back from quarantine: a version needs them"),
        (report.leftovers, f"{would}removed: left by runs that were killed"),
        (report.folders, f"{would}removed: views and evaluations of removed versions"),
        (report.young, "not needed, and younger than the grace: kept"),
    ]
    told = [f"{_spell(found)} {what}" for found, what in lines if found.files]
    for line in told or ["nothing to collect"]:
        click.echo(line)
    if report.quarantined.files and not dry_run:
        click.echo(f"{_spell(report.quarantined)} in quarantine")
    return None


def _spell(found: "Tally") -> str:
    return f"{found.files} file{'' if found.files == 1 else 's'}, {human_size(found.bytes)}"
