"""The rows of ``ahl plugins list``: what is offered, and what became of plugins."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from adapterhub_lite.plugins.discovery import PluginSource
from adapterhub_lite.plugins.faults import conflict
from adapterhub_lite.plugins.loading import PluginRecord

if TYPE_CHECKING:
    from adapterhub_lite.plugins.admitted import Offer

Row = dict[str, str]


def offer_rows(offers: "Sequence[Offer]", records: Iterable[PluginRecord]) -> list[Row]:
    """Return a row an offer; its status is ok, or conflict with an error that says with whom."""
    notes = {record.source.id: record.note for record in records}
    owners: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for offer in offers:
        owner = (offer.source.distribution, offer.source.version)
        owners.setdefault((offer.kind, offer.spec.name), []).append(owner)
    rows = []
    for offer in offers:
        kind, name = offer.kind, offer.spec.name
        rivals = owners[kind, name]
        status, error = "ok", ""
        if len(rivals) > 1:
            status, error = "conflict", conflict(kind, name, rivals).message
        rows.append(_row(name, kind, offer.source, status, error, notes[offer.source.id]))
    return rows


def plugin_row(record: PluginRecord) -> Row:
    """Return the row of a plugin itself; the status is ok, disabled, blocked or broken."""
    source = record.source
    return _row(source.name, "plugin", source, record.status, record.error, record.note)


def _row(name: str, kind: str, source: PluginSource, status: str, error: str, note: str) -> Row:
    return {
        "name": name,
        "kind": kind,
        "distribution": source.distribution,
        "version": source.version,
        "status": status,
        "error": error,
        "note": note,
    }
