"""my-plugin: a format to read versions from: here a plain transformers folder with embeddings.

A stranger's folder is believed nothing: links and pickles are refused, and what is kept is written
anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import ConformanceCase, ImporterSpec

if TYPE_CHECKING:
    from adapterhub_lite.protocols import ImportOptions


@hookimpl
def adapterhub_importers() -> Iterable[ImporterSpec]:
    """Offer the format; what it takes beside the folder is the objective that is to answer."""
    yield ImporterSpec(
        name="my-importer",
        summary="A folder of transformers with one file of weights.",
        implementation="my_plugin:MyImporter",
        takes=frozenset({"objective", "labels"}),
    )


@hookimpl
def adapterhub_conformance() -> Iterable[ConformanceCase]:
    """Say where the checks find an example of what it reads."""
    example = "my_plugin:write_example"
    yield ConformanceCase(kind="importer", name="my-importer", params={"example": example})


class MyImporter:
    """Reads a model that ``save_pretrained`` wrote."""

    def read(self, source: Path, destination: Path, options: ImportOptions) -> Mapping[str, Any]:
        """Write our files into ``destination``; return the manifest fields that the source tells.

        Raises BaseModelError for what is absent, a link out of the folder, or too large.
        """
        from adapterhub_lite.deployment.untrusted import MIB, copy_file
        from adapterhub_lite.deployment.weights import copy_weights
        from adapterhub_lite.inference.artifact import ArtifactInfo, write_artifact_info
        from adapterhub_lite.specs import Head

        for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            copy_file(source, name, 64 * MIB, destination)
        copy_weights(source, "model.safetensors", 64 * 1024 * MIB, destination)
        spec = options.find_objective(None)
        info = ArtifactInfo(
            task=spec.task,
            method="full",
            objective=spec.name,
            head=Head(kind=spec.head, labels=options.labels),
        )
        write_artifact_info(destination, info)
        return {}


def write_example(folder: Path) -> None:
    """Write a tiny model into an empty folder."""
    from adapterhub_lite.testing import write_tiny_model

    write_tiny_model(folder)
