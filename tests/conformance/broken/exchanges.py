"""Exporters and importers with one fault each; what is sound copies the weights, and believes none.

The sound importer takes a folder with ``weights.safetensors`` and ``labels.json``.
"""

import json
import os
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapterhub_lite.deployment.untrusted import MIB, check_header, copy_file
from adapterhub_lite.errors import BaseModelError, CapabilityError
from adapterhub_lite.inference.artifact import ArtifactInfo, write_artifact_info
from adapterhub_lite.protocols import ImportOptions, Questions, Tolerance
from adapterhub_lite.specs import ExporterSpec, Head, ImporterSpec, Params, ResolvedBase
from tests.conformance.broken.entries import Broken


class Sound:
    """Copies a whole model's weights."""

    def export(
        self, folder: Path, destination: Path, base: ResolvedBase | None, params: Params
    ) -> None:
        if base is not None:
            raise CapabilityError("adapters have no form")
        for file in folder.glob("*.safetensors"):
            shutil.copyfile(file, destination / file.name)


class Refuses(Sound):
    def export(
        self, folder: Path, destination: Path, base: ResolvedBase | None, params: Params
    ) -> None:
        raise CapabilityError("nothing has a form")


class Litters(Sound):
    def export(
        self, folder: Path, destination: Path, base: ResolvedBase | None, params: Params
    ) -> None:
        super().export(folder, destination, base, params)
        Path("export.log").write_text("done")


class ChangesTheVersion(Sound):
    def export(
        self, folder: Path, destination: Path, base: ResolvedBase | None, params: Params
    ) -> None:
        super().export(folder, destination, base, params)
        folder.chmod(0o755)
        (folder / "exported").touch()


class Pickles(Sound):
    def export(
        self, folder: Path, destination: Path, base: ResolvedBase | None, params: Params
    ) -> None:
        super().export(folder, destination, base, params)
        (destination / "labels.pkl").write_bytes(pickle.dumps(["a", "b"]))


class NamesPaths(Sound):
    def export(
        self, folder: Path, destination: Path, base: ResolvedBase | None, params: Params
    ) -> None:
        super().export(folder, destination, base, params)
        (destination / "from.json").write_text(json.dumps({"source": str(folder)}))


class WritesChance(Sound):
    def export(
        self, folder: Path, destination: Path, base: ResolvedBase | None, params: Params
    ) -> None:
        super().export(folder, destination, base, params)
        (destination / "id.json").write_text(json.dumps(os.urandom(8).hex()))


class AnswersOtherwise(Sound):
    """A target whose folder gives the same answer to everything."""

    def answers(self, destination: Path, asked: Questions, params: Params) -> list[Any]:
        import numpy as np

        return [np.zeros(len(asked.head.labels)) for _ in asked.inputs]

    def tolerance(self, params: Params) -> Tolerance:
        return Tolerance()

    def usage(self, destination: Path) -> str:
        return f"cat {destination}"


class SoundImporter:
    """Copies two files, judged."""

    def read(self, source: Path, destination: Path, options: ImportOptions) -> Mapping[str, Any]:
        self.copy(source, "weights.safetensors", destination)
        self.copy(source, "labels.json", destination)
        self.judge(destination / "weights.safetensors", source)
        try:
            labels = self.labels(destination / "labels.json")
        except ValueError as error:
            raise BaseModelError(f"labels.json: {error}", ref=str(source)) from error
        head = Head(kind="sequence-classification", labels=tuple(labels), problem="single-label")
        info = ArtifactInfo(
            task="text-classification", method="full", objective="classification", head=head
        )
        write_artifact_info(destination, info)
        return {}

    def copy(self, source: Path, name: str, destination: Path) -> None:
        copy_file(source, name, MIB, destination)

    def judge(self, weights: Path, source: Path) -> None:
        check_header(weights, str(source))

    def labels(self, file: Path) -> list[str]:
        return list(json.loads(file.read_text(encoding="utf-8")))


class ForgetsTheRecord(SoundImporter):
    def read(self, source: Path, destination: Path, options: ImportOptions) -> Mapping[str, Any]:
        fields = super().read(source, destination, options)
        (destination / "adapterhub.json").unlink()
        return fields


class Moves(SoundImporter):
    def read(self, source: Path, destination: Path, options: ImportOptions) -> Mapping[str, Any]:
        fields = super().read(source, destination, options)
        (source / "imported").touch()
        return fields


class RaisesOSErrors(SoundImporter):
    def copy(self, source: Path, name: str, destination: Path) -> None:
        (source / name).stat()
        super().copy(source, name, destination)


class BelievesWeights(SoundImporter):
    def judge(self, weights: Path, source: Path) -> None:
        """Not look."""


class FollowsLinks(SoundImporter):
    def copy(self, source: Path, name: str, destination: Path) -> None:
        try:
            shutil.copyfile(source / name, destination / name)
        except OSError as error:
            raise BaseModelError(str(error), ref=str(source)) from error

    def labels(self, file: Path) -> list[str]:
        return ["a", "b"]


class Unpickles(SoundImporter):
    def labels(self, file: Path) -> list[str]:
        try:
            return list(pickle.loads(file.read_bytes()))
        except Exception:
            return super().labels(file)


def write_example(folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"w": torch.ones(3)}, folder / "weights.safetensors")
    (folder / "labels.json").write_text('["a", "b"]')


def _exporter(fault: str, found: type, check: str, says: str, *, deploys: bool = False) -> Broken:
    spec = ExporterSpec(
        name="broken",
        summary="The weights of a whole model.",
        implementation=f"{__name__}:{found.__name__}",
        tasks=frozenset({"text-classification"}),
        deploys=deploys,
    )
    return Broken(fault=fault, kind="exporter", spec=spec, check=check, says=says)


def _importer(
    fault: str,
    found: type,
    check: str,
    says: str,
    params: Mapping[str, Any] | None = None,
    recognised_by: frozenset[str] = frozenset({"weights.safetensors", "labels.json"}),
) -> Broken:
    spec = ImporterSpec(
        name="broken",
        summary="Weights and labels.",
        implementation=f"{__name__}:{found.__name__}",
        recognised_by=(recognised_by,),
    )
    given = {"example": f"{__name__}:write_example"} if params is None else params
    return Broken(fault=fault, kind="importer", spec=spec, check=check, says=says, params=given)


BROKEN = (
    _exporter("refuses everything", Refuses, "check_exports_a_version", "neither a whole model"),
    _exporter("litters", Litters, "check_writes_into_its_folder_alone", "export.log"),
    _exporter("changes the version", ChangesTheVersion, "check_version_is_unmodified", "exported"),
    _exporter("pickles", Pickles, "check_files_are_plain", "labels.pkl"),
    _exporter(
        "names paths", NamesPaths, "check_names_no_path_of_this_machine", "a path of this machine"
    ),
    _exporter("writes what chance gives", WritesChance, "check_repeats", "the second time"),
    _exporter(
        "answers otherwise",
        AnswersOtherwise,
        "check_answers_as_the_version",
        "is answered otherwise",
        deploys=True,
    ),
    _importer(
        "gives no example", SoundImporter, "check_example_is_imported", "no example", params={}
    ),
    _importer(
        "forgets the record", ForgetsTheRecord, "check_example_is_imported", "adapterhub.json"
    ),
    _importer(
        "is recognised by what its example lacks",
        SoundImporter,
        "check_example_is_recognised",
        "of no format that is recognised",
        recognised_by=frozenset({"classes.json"}),
    ),
    _importer("changes the source", Moves, "check_source_is_unmodified", "changes the source"),
    _importer(
        "raises errors of the system",
        RaisesOSErrors,
        "check_what_is_absent_is_refused",
        "no error of the project",
    ),
    _importer(
        "believes the weights",
        BelievesWeights,
        "check_broken_files_are_refused",
        "without an error",
    ),
    _importer("follows links", FollowsLinks, "check_links_are_not_followed", "link is followed"),
    _importer("unpickles", Unpickles, "check_nothing_is_executed", "in place of labels.json"),
)
