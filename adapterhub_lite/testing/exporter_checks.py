"""What an exporter is held to: tiny versions of ours go out.

It gets a whole classifier and a LoRA adapter, trained for two steps. Where the format holds neither
the case names a recipe: ``params={"recipe": {"method": …, "objective": …}}``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from adapterhub_lite.deployment.exporting import Source, whole_model
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.inference.artifact import read_artifact_info
from adapterhub_lite.specs import ExporterSpec, Spec
from adapterhub_lite.testing.examples import digests
from adapterhub_lite.testing.exchange import (
    TinyVersion,
    elsewhere,
    require_no_paths,
    require_no_pickles,
    tiny_versions,
)
from adapterhub_lite.testing.outcomes import CheckFailedError, NotApplicableError
from adapterhub_lite.testing.sharing import made_once, needed
from adapterhub_lite.testing.subject import Subject


def check_exports_a_version(subject: Subject) -> None:
    """At least one version can be exported; what the format cannot hold is a CapabilityError.

    Raise CapabilityError, with a hint at what to do, for a version of another kind.
    """
    if not _exports(subject):
        raise CheckFailedError(
            "it exports neither a whole model nor an adapter",
            hint="name a recipe in adapterhub_conformance of what it exports: "
            'params={"recipe": {"method": "full", "objective": "contrastive"}}',
        )


def check_writes_into_its_folder_alone(subject: Subject) -> None:
    """Nothing is written but below the folder that it is given.

    Use the destination for temporary files too, or ``tempfile``.
    """
    version = _exported(subject)[0].version
    around = subject.folder / "around"
    (around / "out").mkdir(parents=True)
    with elsewhere(around / "here"):
        export_version(subject.implementation, subject.offer.spec, version, around / "out")
    if others := sorted({place.name for place in around.iterdir()} - {"out", "here"}):
        raise CheckFailedError(f"beside the destination it writes {others[0]}")


def check_version_is_unmodified(subject: Subject) -> None:
    """The version, which is immutable, and its base stay as they are.

    Copy files before you change them.
    """
    for export in _exported(subject):
        if export.changed:
            raise CheckFailedError(f"exporting {export.version.what} changes {export.changed[0]}")


def check_files_are_plain(subject: Subject) -> None:
    """What is written holds no pickle and no link.

    Write safetensors and JSON. Where the format is a pickle, name the check in expected_failures.
    """
    for export in _exported(subject):
        require_no_pickles(export.place)


def check_names_no_path_of_this_machine(subject: Subject) -> None:
    """No file names a place on the machine that exported.

    What goes to others names the base by ``base.ref``, not by its path.
    """
    for export in _exported(subject):
        places = (subject.shared, export.version.folder, Path.home())
        require_no_paths(export.place, *places)


def check_repeats(subject: Subject) -> None:
    """The same version is written the same again.

    Write JSON with sorted keys, and no times.
    """
    for export in _exported(subject):
        again = subject.folder / export.place.name
        again.mkdir()
        export_version(subject.implementation, subject.offer.spec, export.version, again)
        if digests(again) != digests(export.place):
            raise CheckFailedError(f"{export.version.what} is written otherwise the second time")


def check_answers_as_the_version(subject: Subject) -> None:
    """What a target wrote answers as the version does, within its own tolerance.

    Answer by the written folder alone, in the form that the protocol ``Target`` asks for; a format
    of fewer bits says by ``tolerance`` what they cost.
    """
    spec = subject.offer.spec
    assert isinstance(spec, ExporterSpec), "the suite gives these checks exporters"
    if not spec.deploys:
        raise NotApplicableError("its folders cannot be asked here: deploys is not set")
    for export in _exported(subject):
        version = export.version
        source = Source(
            folder=version.folder,
            version=version.what,
            info=read_artifact_info(version.folder),
            base=version.base or whole_model(version.folder),
        )
        parity = source.parity(spec, spec.params(), export.place, subject.catalogue)
        if not parity.holds:
            raise CheckFailedError(f"{version.what} is answered otherwise: {parity.summary()}")


def export_version(exporter: Any, spec: Spec, version: TinyVersion, place: Path) -> None:
    """Export a version with the spec's own parameters.

    Raises CapabilityError, as the core does, for one that the spec does not take.
    """
    assert isinstance(spec, ExporterSpec), "an exporter's spec"
    kind = "adapter" if version.base else "model"
    if kind not in spec.takes:
        raise CapabilityError(f"{spec.name!r} takes no {kind}")
    exporter.export(version.folder, place, version.base, spec.params())


@dataclass(frozen=True, slots=True)
class Export:
    """A version that was exported, where to, and which of its files, and its base's, changed."""

    version: TinyVersion
    place: Path
    changed: list[str]


def _exported(subject: Subject) -> list[Export]:
    """Return the exports that all checks look at."""
    found = needed(_exports, check_exports_a_version.__name__, subject)
    if not found:
        raise NotApplicableError(f"comes after {check_exports_a_version.__name__}, which fails")
    return found


def _exports(subject: Subject) -> list[Export]:
    """Export what the format holds of the tiny versions, once for all checks."""
    return made_once(
        subject,
        "exports",
        lambda: [done for version in tiny_versions(subject) if (done := _export(subject, version))],
    )


def _export(subject: Subject, version: TinyVersion) -> Export | None:
    """Export a version; None where the format does not hold it. Raises what the exporter raises."""
    name = f"exported-{subject.offer.spec.name}-{version.what.replace(' ', '-')}"
    place = subject.shared / name
    place.mkdir()
    sources = [version.folder, *([Path(version.base.path)] if version.base else [])]
    before = [digests(source) for source in sources]
    try:
        export_version(subject.implementation, subject.offer.spec, version, place)
    except CapabilityError:
        return None
    after = [digests(source) for source in sources]
    changed = [
        name
        for old, new in zip(before, after, strict=True)
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    if not any(place.iterdir()):
        raise CheckFailedError(f"exporting {version.what} writes nothing")
    return Export(version, place, changed)


CHECKS: Final = (
    check_exports_a_version,
    check_writes_into_its_folder_alone,
    check_version_is_unmodified,
    check_files_are_plain,
    check_names_no_path_of_this_machine,
    check_repeats,
    check_answers_as_the_version,
)
