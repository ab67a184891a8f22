"""A process that trains nothing: it loads versions and writes how they score rows.

Run with the registry's home as its argument, it reads a line of JSON for each version (``ref``,
``data``, ``rows``, ``scores``), writes the scores to that file, and answers with a line.
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapterhub_lite import api
from adapterhub_lite.data.prepare import prepare
from adapterhub_lite.data.table import RowSet
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.recipes.data import DataSection
from adapterhub_lite.specs import RowKind


def flat(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Return all scores in one line; those of tags come as an array a row."""
    rows = [np.asarray(row, dtype=np.float64).ravel() for row in scores]
    return np.concatenate(rows)


def read(file: Path, kind: RowKind) -> RowSet:
    """Read the rows of one kind."""
    return prepare(DataSection(train=str(file)), get_catalogue(), rows=kind).train


def main() -> None:
    """Answer until there is nothing more to read."""
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "Sparse invariant", UserWarning)
    registry = api.open_registry(Path(sys.argv[1]))
    for line in sys.stdin:
        asked = json.loads(line)
        scorer = api.load(asked["ref"], registry=registry)
        scored = scorer.score(read(Path(asked["data"]), asked["rows"]))
        np.save(asked["scores"], flat(scored.scores))
        print(json.dumps({"ref": asked["ref"]}), flush=True)


if __name__ == "__main__":
    main()
