"""Loads one plugin in a process of its own, and writes what was seen to a file.

``python -m adapterhub_lite.environment.probe plugins|commands DISTRIBUTION:NAME FILE``
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from adapterhub_lite.errors import AdapterHubError
from adapterhub_lite.plugins import PluginSource, installed_sources, load_command


def main() -> None:
    """Probe the plugin or command that the command line names."""
    group, name, file = sys.argv[1:]
    start = time.perf_counter()
    if group == "commands":
        seen = _command(name.rpartition(":")[2])
    else:
        (source,) = (source for source in installed_sources() if source.id == name)
        seen = _plugin(source)
    seen["seconds"] = time.perf_counter() - start
    Path(file).write_text(json.dumps(seen), encoding="utf-8")


def _plugin(source: PluginSource) -> dict[str, Any]:
    from adapterhub_lite.catalogue import Catalogue

    catalogue = Catalogue([source])
    (record,) = catalogue.records
    return {
        "status": record.status,
        "error": record.error,
        "printed": record.printed,
        "heavy": record.heavy,
        "offers": [(offer.kind, offer.spec.name) for offer in catalogue.offers],
    }


def _command(name: str) -> dict[str, Any]:
    try:
        load_command(name)
    except AdapterHubError as error:
        return {"status": "broken", "error": error.message}
    return {"status": "ok", "error": ""}


if __name__ == "__main__":
    main()
