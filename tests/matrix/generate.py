"""Write docs/support-matrix.md anew: ``python tests/matrix/generate.py``."""

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

from adapterhub_lite import api
from adapterhub_lite.plugins import get_catalogue
from tests.matrix.cells import write_bench
from tests.matrix.table import PAGE, page, sections


def main() -> None:
    """Plan every combination and write the page."""
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "Sparse invariant", UserWarning)
    catalogue = get_catalogue(first_party_only=True)
    with TemporaryDirectory() as folder:
        bench = write_bench(Path(folder))
        registry = api.open_registry(Path(folder) / "home")
        parts = []
        for objective, text in sections(bench, catalogue, registry):
            print(objective, flush=True)
            parts.append(text)
    PAGE.write_text(page(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
