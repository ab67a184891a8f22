"""What loading a plugin imports, seen in a process that has loaded nothing else."""

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Final

SECONDS: Final = 120
PROGRAM: Final = """
import json, sys
from importlib import import_module
module, without, paths = json.loads(sys.argv[1])
sys.path[:] = paths
sys.modules.update(dict.fromkeys(without))
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.plugins import PluginSource
catalogue = Catalogue([PluginSource("it", "it", "0", lambda: import_module(module))])
packages = sorted({name.partition(".")[0] for name, found in sys.modules.items() if found})
record = catalogue.records[0]
answer = {"packages": packages, "error": record.error, "printed": record.printed}
print("\\n" + json.dumps(answer))  # below whatever the plugin prints
"""


@dataclass(frozen=True, slots=True)
class Imported:
    """The top-level packages in memory once a plugin is loaded, and why it was not, if so.

    ``printed`` is what it wrote to stdout meanwhile.
    """

    packages: frozenset[str]
    error: str
    printed: str = ""


@cache
def imported_alone(module: str, without: tuple[str, ...] = ()) -> Imported | None:
    """Load a plugin's module, and collect its offers, in a process of its own.

    ``without`` are libraries to be taken for absent. None when there is no such module to import.
    """
    try:
        if find_spec(module) is None:
            return None
    except (ImportError, ValueError):
        return None
    asked = json.dumps([module, without, sys.path])
    done = subprocess.run(  # noqa: S603 - our own interpreter and program
        [sys.executable, "-c", PROGRAM, asked],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        return Imported(frozenset(), said[-1] if said else f"exit status {done.returncode}")
    answer = json.loads(done.stdout.splitlines()[-1])
    return Imported(frozenset(answer["packages"]), answer["error"], answer["printed"])
