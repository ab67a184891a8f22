"""my-plugin: finds base models by names of your own: ``my-resolver:NAME`` is a folder of models."""

from __future__ import annotations

import os
from pathlib import Path

from adapterhub_lite.errors import BaseModelError
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import ResolvedBase

PREFIX = "my-resolver:"
VARIABLE = "MY_MODELS"


@hookimpl
def adapterhub_resolve_base(ref: str) -> ResolvedBase | None:
    """Find a folder below the one that a variable names; leave other names to other plugins.

    An error that is raised here is said to the user: the name was ours, and there is no such model.
    """
    if not ref.startswith(PREFIX):
        return None
    folder = Path(os.environ.get(VARIABLE, ".")) / ref.removeprefix(PREFIX)
    if not (folder / "config.json").is_file():
        raise BaseModelError(
            f"there is no model in {folder}", ref=ref, hint=f"set {VARIABLE} to your models' folder"
        )
    return ResolvedBase(ref=ref, path=str(folder), source="my-resolver")
