"""What an exporter and an importer must offer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from adapterhub_lite.specs import ObjectiveSpec, ResolvedBase


class Exporter(Protocol):
    """Writes a version in another tool's format."""

    def export(self, folder: Path, destination: Path, base: ResolvedBase | None) -> None:
        """Write ``destination`` (an empty folder) from a version's folder, and check it.

        ``base`` is the base that an adapter is loaded onto; None for a whole model. Raises
        CapabilityError when the format cannot hold the version.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What a person tells an importer, as far as its spec takes it.

    ``convert`` allows a pickle to be converted in isolation. ``labels`` are those of the head's
    outputs, in their order; empty when nobody says. ``multi_label``: an input may have several.

    ``find_base`` returns the base: the person's choice, else what a stranger's folder names, as
    long as that is no path. ``find_objective`` returns the person's choice, else the one of the
    given name. Both raise UserError where neither says.
    """

    find_base: Callable[[str | None], ResolvedBase]
    find_objective: Callable[[str | None], ObjectiveSpec]
    convert: bool = False
    labels: tuple[str, ...] = ()
    multi_label: bool = False


class Importer(Protocol):
    """Makes a version out of another tool's folder, of which nothing is believed."""

    def read(self, source: Path, destination: Path, options: ImportOptions) -> Mapping[str, Any]:
        """Write our files, ``adapterhub.json`` among them, into ``destination``.

        Returns the manifest fields that the source tells; what follows from the files is added.
        """
