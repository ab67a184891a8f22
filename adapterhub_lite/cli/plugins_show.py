"""``ahl plugins show``: one distribution, plugin or offer, with all that is known of it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from adapterhub_lite.cli.common import emit_json, json_option, settings, shared_options

if TYPE_CHECKING:
    from adapterhub_lite.catalogue import Catalogue
    from adapterhub_lite.plugins import PluginRecord
    from adapterhub_lite.plugins.admitted import Offer
    from adapterhub_lite.specs import Spec

WIDTH = 14


@click.command(short_help="Show what a plugin offers, and where it comes from.")
@click.argument("name")
@json_option
@shared_options
def show(name: str, as_json: bool) -> None:
    """Show what a plugin offers with its parameters, its hooks, its version and its file.

    NAME is a distribution, one of its plugins, or the name of anything that a plugin offers.
    """
    from adapterhub_lite.plugins import get_catalogue

    catalogue = get_catalogue(first_party_only=settings().no_plugins)
    plugin, offers = _meant(name, catalogue)
    if as_json:
        return emit_json(_described(plugin, offers, catalogue))
    return _print(plugin, offers, catalogue, whole=":" in plugin)


def _meant(name: str, catalogue: "Catalogue") -> "tuple[str, list[Offer]]":
    """Return the plugin that a name means, and what is to be shown of its offers.

    Raises UnknownNameError; UserError for what several plugins offer.
    """
    from adapterhub_lite.errors import UnknownNameError, UserError
    from adapterhub_lite.plugins.naming import installed_points, resolve_plugin

    points = installed_points()
    try:
        plugin = resolve_plugin(name, points)
    except UnknownNameError:
        offers = [offer for offer in catalogue.offers if offer.spec.name == name]
        owners = sorted({offer.source.id for offer in offers})
        if not owners:
            offered = {offer.spec.name for offer in catalogue.offers}
            known = offered.union(*points)
            raise UnknownNameError("plugin", name, known) from None
        if len(owners) > 1:
            raise UserError(
                f"{name!r} is offered by several plugins", hint=f"show one: {' or '.join(owners)}"
            ) from None
        return owners[0], offers
    return plugin, [o for o in catalogue.offers if plugin in (o.source.id, o.source.distribution)]


def _records(plugin: str, catalogue: "Catalogue") -> "list[PluginRecord]":
    return [
        record
        for record in catalogue.records
        if plugin in (record.source.id, record.source.distribution)
    ]


def _commands(plugin: str) -> list[dict[str, str]]:
    from adapterhub_lite.cli.plugins_rows import command_rows

    return [
        {key: row[key] for key in ("name", "status", "error")}
        for row in command_rows()
        if plugin in (row["distribution"], f"{row['distribution']}:{row['name']}")
    ]


def _metadata(distribution: str) -> dict[str, Any]:
    """Return what a distribution says of itself."""
    from importlib.metadata import metadata

    said = metadata(distribution)
    return {
        "distribution": distribution,
        "version": said["Version"],
        "summary": said.json.get("summary"),
        "requires": said.get_all("Requires-Dist") or [],
    }


def _described(plugin: str, offers: "list[Offer]", catalogue: "Catalogue") -> dict[str, Any]:
    """Return everything as JSON values."""
    return {
        **_metadata(plugin.partition(":")[0]),
        "plugins": [
            {
                "name": record.source.name,
                "module": record.source.target,
                "file": record.file or None,
                "status": record.status,
                "error": record.error,
                "note": record.note,
                "hooks": record.hooks,
                "offers": [_offer(o) for o in offers if o.source.id == record.source.id],
            }
            for record in _records(plugin, catalogue)
        ],
        "commands": _commands(plugin),
    }


def _offer(offer: "Offer") -> dict[str, Any]:
    return {
        "kind": offer.kind,
        "name": offer.spec.name,
        "summary": offer.spec.summary,
        "implementation": offer.spec.implementation or None,
        "paper": offer.spec.paper or None,
        "requires": [requirement.install for requirement in offer.spec.requires],
        **{title: model.model_json_schema() for title, model in _params(offer.spec)},
    }


def _params(spec: "Spec") -> Iterator[tuple[str, Any]]:
    for title in ("params", "model_params", "member_params"):
        if hasattr(spec, title):
            yield title, getattr(spec, title)


def _print(plugin: str, offers: "list[Offer]", catalogue: "Catalogue", *, whole: bool) -> None:
    """Print a distribution; of one plugin, or with ``whole``, every parameter with its help."""
    said = _metadata(plugin.partition(":")[0])
    click.echo(f"{said['distribution']} {said['version']}: {said['summary'] or 'no summary'}")
    if plugin.partition(":")[0] != "adapterhub-lite":
        _fact("requires", ", ".join(said["requires"]))
    for record in _records(plugin, catalogue):
        click.echo(f"\nplugin {record.source.name}")
        for label, value in _facts(record):
            _fact(label, value)
        for offer in offers:
            if offer.source.id == record.source.id:
                _print_offer(offer, catalogue, whole=whole)
    for command in _commands(plugin):
        state = "" if command["status"] == "ok" else f" ({command['status']}: {command['error']})"
        click.echo(f"\ncommand {command['name']}{state}: see ahl {command['name']} --help")


def _facts(record: "PluginRecord") -> Iterator[tuple[str, str]]:
    yield "status", record.status + (f": {record.error}" if record.error else "")
    yield "note", record.note
    yield "file", record.file or f"the module {record.source.target}, which is not loaded"
    yield "hooks", ", ".join(record.hooks)


def _fact(label: str, value: str) -> None:
    if value:
        click.echo(f"  {label:<{WIDTH}}{value}")


def _print_offer(offer: "Offer", catalogue: "Catalogue", *, whole: bool) -> None:
    from adapterhub_lite.cli.parts import parameters, print_parameters

    spec = offer.spec
    rivals = [o for o in catalogue.offers if (o.kind, o.spec.name) == (offer.kind, spec.name)]
    clash = " (in conflict: see ahl plugins list)" if len(rivals) > 1 else ""
    click.echo(f"\n  {offer.kind} {spec.name}{clash}: {spec.summary}")
    if whole:
        _fact("  code", spec.implementation)
        _fact("  paper", spec.paper)
        for requirement in spec.requires:
            _fact("  needs", requirement.install)
    for title, params in _params(spec):
        whose = {"model_params": " of each model", "member_params": " of each member"}
        heading = f"parameters{whose.get(title, '')}"
        if whole:
            print_parameters(params, f"  {heading}")
        else:
            _fact(f"  {heading}", ", ".join(name for name, _, _ in parameters(params)))
