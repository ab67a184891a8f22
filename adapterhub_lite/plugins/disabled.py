"""Which plugins the user has disabled: names in ``plugins.json`` in the user's config folder.

A name is a distribution, for all that it brings, or ``distribution:entry-point`` for one plugin.
"""

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from adapterhub_lite.errors import UserError

CONFIG = "ADAPTERHUB_LITE_CONFIG"
"""The variable that names another config folder."""

FILE = "plugins.json"


def disabled_file() -> Path:
    """Return where the names are kept: in ``$ADAPTERHUB_LITE_CONFIG``, else the user's folder."""
    chosen = os.environ.get(CONFIG)
    if chosen:
        return Path(chosen).expanduser() / FILE
    import platformdirs

    return platformdirs.user_config_path("adapterhub-lite") / FILE


def read_disabled() -> frozenset[str]:
    """Return the disabled names; raises UserError for a file that does not parse.

    To go on without it would load what the user has switched off.
    """
    file = disabled_file()
    try:
        names = json.loads(file.read_text(encoding="utf-8"))["disabled"]
    except FileNotFoundError:
        return frozenset()
    except (ValueError, KeyError, TypeError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(
            f"{file} does not parse: it holds no list of disabled plugins",
            hint='write {"disabled": []} into it, or remove it: every plugin is enabled then',
        )
    return frozenset(names)


def change_disabled(*, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
    """Add and remove names in one step; two that do so at once wait for each other."""
    from filelock import FileLock

    file = disabled_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):
        _write(file, (read_disabled() | set(add)) - set(remove))


def _write(file: Path, names: Iterable[str]) -> None:
    """Replace the file by a whole one, so that no reader ever sees a part of it."""
    handle, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            json.dump({"disabled": sorted(names)}, out, indent=2)
            out.write("\n")
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
