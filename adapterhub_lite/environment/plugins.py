"""Plugins: broken ones, those in conflict, and those that make every command slow or noisy."""

from collections.abc import Iterator, Sequence

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.environment.findings import Finding, Level
from adapterhub_lite.environment.probing import Group, Probed, probe_all
from adapterhub_lite.plugins import (
    CommandSource,
    PluginSource,
    command_sources,
    conflict,
    installed_sources,
)

LATER = "import it where it is used, in the module that `implementation` names"


def plugin_findings() -> Iterator[Finding]:
    """Yield each third-party plugin and command, ours together, and every conflict of names.

    Raises UserError when the file of disabled plugins cannot be read.
    """
    sources, commands = installed_sources(), command_sources()
    ours = Catalogue([source for source in sources if source.first_party])
    yield from _first_party(ours)
    others = [source for source in sources if not source.first_party]
    apart: list[PluginSource | CommandSource] = [*others, *commands]
    for source in apart:
        if source.barrier:
            name = f"{source.distribution}:{source.name}"
            yield _finding(f"plugin {name}", "ok", source.barrier.status, source.barrier.reason)
    wanted: list[tuple[Group, str]] = [("plugins", s.id) for s in others if not s.barrier]
    wanted += [("commands", f"{c.distribution}:{c.name}") for c in _unrivalled(commands)]
    probed = probe_all(wanted)
    for one in probed:
        yield from _probed(one)
    yield from _conflicts(ours, probed, sources)
    yield from _command_conflicts(commands)


def _first_party(ours: Catalogue) -> Iterator[Finding]:
    for record in ours.records:
        if record.status != "ok":
            broken = record.status == "broken"
            yield _finding(
                f"plugin {record.source.id}",
                "fault" if broken else "ok",
                f"{record.status}: {record.error}" if broken else record.status,
                "reinstall adapterhub-lite" if broken else record.error,
            )
    well = sum(record.status == "ok" for record in ours.records)
    yield _finding("plugins", "ok", f"{well} of our own, {len(ours.offers)} offers")


def _unrivalled(commands: Sequence[CommandSource]) -> list[CommandSource]:
    """Return the commands that can be loaded: those of one distribution alone."""
    names = [command.name for command in commands if not command.barrier]
    return [c for c in commands if not c.barrier and names.count(c.name) == 1]


def _probed(one: Probed) -> Iterator[Finding]:
    subject = f"{one.group.removesuffix('s')} {one.id}"
    if one.status != "ok":
        yield _finding(subject, "fault", f"broken: {one.error}", _mend(one))
        return
    notes = []
    if one.printed:
        notes.append(f"prints when it is loaded: {one.printed.splitlines()[0][:60]!r}")
    if one.heavy:
        notes.append(
            f"imports {', '.join(one.heavy[:3])} when it is loaded ({one.seconds:.1f} s), and "
            "every command that uses plugins waits for it"
        )
    for note in notes:
        advice = LATER if one.heavy else "let it log instead"
        yield _finding(
            subject, "warning", note, f"ask its authors to {advice}; or: {_disable(one.id)}"
        )
    if not notes:
        offers = ", ".join(f"{kind} {name}" for kind, name in one.offers[:6])
        more = f" and {len(one.offers) - 6} more" if len(one.offers) > 6 else ""
        yield _finding(subject, "ok", (offers + more) or "works")


def _mend(one: Probed) -> str:
    """Say what to do about a plugin that does not load."""
    distribution = one.id.partition(":")[0]
    if "needs adapterhub-lite" in one.error or "needs a newer" in one.error:
        return f"pip install --upgrade adapterhub-lite; or: {_disable(one.id)}"
    if one.error.startswith("ModuleNotFoundError"):
        return f"pip install the library that it lacks; or: {_disable(one.id)}"
    return (
        f"ahl plugins install --upgrade {distribution}; or report it to its authors and: "
        f"{_disable(one.id)}"
    )


def _disable(plugin: str) -> str:
    return f"ahl plugins disable {plugin}"


def _conflicts(
    ours: Catalogue, probed: Sequence[Probed], sources: Sequence[PluginSource]
) -> Iterator[Finding]:
    """Yield each name that two distributions, or two plugins of one, offer for a kind."""
    versions = {source.distribution: source.version for source in sources}
    owners: dict[tuple[str, str], list[str]] = {}
    for offer in ours.offers:
        owners.setdefault((offer.kind, offer.spec.name), []).append(offer.source.distribution)
    for one in probed:
        for entry in one.offers:
            owners.setdefault(entry, []).append(one.id.partition(":")[0])
    for (kind, name), rivals in owners.items():
        if len(rivals) > 1:
            error = conflict(kind, name, ((rival, versions[rival]) for rival in rivals))
            yield _finding(f"{kind} {name}", "fault", error.message, error.hint)


def _command_conflicts(commands: Sequence[CommandSource]) -> Iterator[Finding]:
    loadable = [command for command in commands if not command.barrier]
    for name in dict.fromkeys(command.name for command in loadable):
        rivals = [c for c in loadable if c.name == name]
        if len(rivals) > 1:
            error = conflict("command", name, ((c.distribution, c.version) for c in rivals))
            yield _finding(f"command {name}", "fault", error.message, error.hint)


def _finding(subject: str, level: Level, message: str, way_out: str = "") -> Finding:
    return Finding(area="plugins", subject=subject, level=level, message=message, way_out=way_out)
