"""my-plugin: a format to write versions in: here the labels of a classifier, one a line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import ExporterSpec

if TYPE_CHECKING:
    from adapterhub_lite.specs import Params, ResolvedBase


@hookimpl
def adapterhub_exporters() -> Iterable[ExporterSpec]:
    """Offer the format, for the tasks that it can hold."""
    yield ExporterSpec(
        name="my-exporter",
        summary="The labels of a classifier, one a line.",
        implementation="my_plugin:MyExporter",
        tasks=frozenset({"text-classification"}),
    )


class MyExporter:
    """Writes ``labels.txt``."""

    def export(
        self, folder: Path, destination: Path, base: ResolvedBase | None, params: Params
    ) -> None:
        """Write ``destination``, an empty folder, from a version's, and check what was written.

        Raises CapabilityError when the version has no labels.
        """
        from adapterhub_lite.errors import CapabilityError, SelfTestError
        from adapterhub_lite.inference.artifact import read_artifact_info

        labels = read_artifact_info(folder).head.labels
        if not labels:
            raise CapabilityError("the version has no labels", hint="export a classifier")
        file = destination / "labels.txt"
        file.write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
        if tuple(file.read_text(encoding="utf-8").splitlines()) != labels:
            raise SelfTestError("a label has a line break in it: one a line cannot hold it")
