"""Which format a stranger's folder has, told by the names of its files."""

from pathlib import Path

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.deployment.untrusted import exists
from adapterhub_lite.errors import BaseModelError
from adapterhub_lite.specs import ImporterSpec


def recognise(source: Path, catalogue: Catalogue) -> str:
    """Return the name of the one importer that recognises the folder; no file of it is opened.

    Raises BaseModelError where none does, or several do that are not one more exact than the other.
    """
    specs = [offer.spec for offer in catalogue.usable("importer")]
    importers = [spec for spec in specs if isinstance(spec, ImporterSpec)]
    found = {
        (spec.name, files)
        for spec in importers
        for files in spec.recognised_by
        if files and all(exists(source / name) for name in files)
    }
    exact = sorted({name for name, files in found if not any(files < more for _, more in found)})
    if len(exact) == 1:
        return exact[0]
    known = ", ".join(sorted(spec.name for spec in importers))
    if exact:
        reason, hint = f"may be of several formats: {', '.join(exact)}", "say which: --format NAME"
    elif not source.is_dir():
        reason, hint = "is not there", "give a folder, or an archive of one"
    else:
        reason, hint = "is of no format that is recognised", f"if it is one of {known}: --format"
    raise BaseModelError(f"{source} {reason}", ref=str(source), hint=hint)
