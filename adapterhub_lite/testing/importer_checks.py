"""What an importer is held to: a stranger's folder comes in, and is believed nothing.

The folder is what the exporter of the same name writes of a tiny version, or the example that the
case names: ``params={"example": "package.module:function"}``, a function that writes one into the
empty folder that it is given.
"""

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from adapterhub_lite.deployment.recognising import recognise
from adapterhub_lite.errors import AdapterHubError, BaseModelError, UnknownNameError
from adapterhub_lite.inference.artifact import read_artifact_info
from adapterhub_lite.plugins import one_line
from adapterhub_lite.protocols import ImportOptions, Method
from adapterhub_lite.specs import ImporterSpec, MethodSpec, ObjectiveSpec, ResolvedBase
from adapterhub_lite.testing.examples import (
    attacks,
    digests,
    example_writer,
    files_of,
    require_example,
)
from adapterhub_lite.testing.exchange import (
    elsewhere,
    require_no_pickles,
    tiny_base,
    tiny_versions,
)
from adapterhub_lite.testing.exporter_checks import export_version
from adapterhub_lite.testing.files import require_plain_files
from adapterhub_lite.testing.outcomes import CheckFailedError, NotApplicableError
from adapterhub_lite.testing.sharing import made_once, needed
from adapterhub_lite.testing.subject import Subject

SECRET: Final = b"what a link leads to, outside of the folder"


def check_example_is_imported(subject: Subject) -> None:
    """The example becomes a folder of ours, with ``adapterhub.json``, without links and pickles.

    Write the files that a method saves, and ``write_artifact_info``; return manifest fields.
    """
    if _exporter(subject) is None:
        require_example(subject, "nothing")
    source = _copied(_source(subject), subject.folder / "source")
    fields = _read(subject, source, subject.folder / "out")
    read_artifact_info(subject.folder / "out")
    if not hasattr(fields, "keys"):
        raise CheckFailedError(f"read returned {type(fields).__name__}, not manifest fields")
    require_no_pickles(subject.folder / "out")
    require_plain_files(subject.folder / "out")


def check_example_is_recognised(subject: Subject) -> None:
    """A folder like the example is taken for this format when nobody names one.

    ``recognised_by`` are sets of files, of which the example has one whole. Where another format
    recognises it as well, name more files: the larger set wins.
    """
    spec = subject.offer.spec
    assert isinstance(spec, ImporterSpec), "the suite gives these checks importers"
    if not spec.recognised_by:
        raise NotApplicableError("it is used by its name alone: recognised_by is empty")
    source = _settled_source(subject)
    try:
        found = recognise(source, subject.catalogue)
    except BaseModelError as error:
        raise CheckFailedError(error.message.replace(str(source), "the example")) from error
    if found != spec.name:
        raise CheckFailedError(f"the example is taken for the format {found!r}")


def check_source_is_unmodified(subject: Subject) -> None:
    """The stranger's folder stays as it is, and nothing is written beside the destination.

    Copy files before you change them.
    """
    source = _settled_source(subject)
    before = digests(source)
    with elsewhere(subject.folder / "here"):
        _read(subject, source, subject.folder / "out")
    if digests(source) != before:
        raise CheckFailedError("importing changes the source")


def check_what_is_absent_is_refused(subject: Subject) -> None:
    """An empty folder, one that does not exist and a file are refused with the project's errors.

    Raise BaseModelError with a hint at what is missing.
    """
    (subject.folder / "empty").mkdir()
    (subject.folder / "file").write_text("{}")
    for name in ("empty", "missing", "file"):
        _require_refusal(subject, subject.folder / name, f"a source that is {name}")


def check_broken_files_are_refused(subject: Subject) -> None:
    """A file of weights that is cut off, or that is garbage, is refused with the project's errors.

    Judge headers by ``adapterhub_lite.deployment.untrusted`` before a library parses them.
    """
    source = _settled_source(subject)
    for number, file in enumerate(_weights(source)):
        for what, content in (("cut off", None), ("garbage", b"\xff" * 64)):
            place = subject.folder / f"broken-{number}-{what}"
            copied = _copied(source, place) / file
            copied.write_bytes(content or copied.read_bytes()[:-9])
            _require_refusal(subject, place, f"{file} that is {what}")


def check_links_are_not_followed(subject: Subject) -> None:
    """A link that leads out of the folder is refused, or left alone: what it leads to stays there.

    ``adapterhub_lite.deployment.untrusted.copy_file`` takes regular files of the folder alone.
    """
    secret = subject.folder / "secret"
    secret.write_bytes(SECRET)
    source = _settled_source(subject)
    for number, file in enumerate(files_of(source)):
        place = _copied(source, subject.folder / f"linked-{number}")
        linked = place / file.relative_to(source)
        linked.unlink()
        linked.symlink_to(secret)
        out = subject.folder / f"out-{number}"
        try:
            _read(subject, place, out)
        except AdapterHubError:
            continue
        except Exception as error:
            raise CheckFailedError(
                f"{linked.name} as a link raises {one_line(error)}, no error of the project"
            ) from error
        if any(SECRET in found.read_bytes() for found in files_of(out)):
            raise CheckFailedError(f"through {linked.name} a link is followed out of the folder")


def check_nothing_is_executed(subject: Subject) -> None:
    """A file of the folder that is a program is not executed.

    Nothing is unpickled in this process; with the choice "convert" only in one of its own.
    """
    source = _settled_source(subject)
    for what, attack, marker in attacks(subject.folder):
        for file in files_of(source):
            place = _copied(source, subject.folder / "attacked")
            (place / file.relative_to(source)).write_bytes(attack)
            with suppress(Exception):  # how it is refused is the matter of another check
                _read(subject, place, subject.folder / "out", convert=False)
            if marker.exists():
                raise CheckFailedError(f"{what} in place of {file.name} is executed")
            shutil.rmtree(place)
            shutil.rmtree(subject.folder / "out", ignore_errors=True)


def _source(subject: Subject) -> Path:
    """Return the folder to import, which all checks share; they import copies of it."""
    place = subject.shared / f"source-{subject.offer.spec.name}"

    def write() -> Path:
        exporter = _exporter(subject)
        if "example" in subject.params or exporter is None:
            place.mkdir()
            example_writer(subject, check_example_is_imported.__name__)(place)
            return place
        for version in tiny_versions(subject):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            try:
                spec = subject.catalogue.exporter(subject.offer.spec.name)
                export_version(exporter, spec, version, place)
            except AdapterHubError:
                continue
            return place
        raise NotApplicableError("the exporter of the same name exports no tiny version")

    return made_once(subject, "source", write)


def _settled_source(subject: Subject) -> Path:
    """Return a copy of the folder to import, which is the check's own."""
    shared = needed(_source, check_example_is_imported.__name__, subject)
    return _copied(shared, subject.folder / "source")


def _exporter(subject: Subject) -> Any:
    try:
        spec = subject.catalogue.exporter(subject.offer.spec.name)
    except UnknownNameError:
        return None
    return subject.catalogue.implementation(spec)


def _read(subject: Subject, source: Path, out: Path, *, convert: bool = True) -> Any:
    out.mkdir(exist_ok=True)
    spec = subject.offer.spec
    assert isinstance(spec, ImporterSpec), "the suite gives these checks importers"
    options = ImportOptions(
        find_base=_finder(subject),
        find_objective=_objective_finder(subject),
        find_method=_method_finder(subject),
        convert=convert and "convert" in spec.takes,
    )
    return subject.implementation.read(source, out, options)


def _finder(subject: Subject) -> Callable[[str | None], ResolvedBase]:
    return lambda told: tiny_base(subject)


def _objective_finder(subject: Subject) -> Callable[[str | None], ObjectiveSpec]:
    return lambda told: subject.catalogue.objective(told or "classification")


def _method_finder(subject: Subject) -> Callable[[str], tuple[MethodSpec, Method]]:
    def find(name: str) -> tuple[MethodSpec, Method]:
        spec = subject.catalogue.method(name)
        return spec, subject.catalogue.implementation(spec)

    return find


def _weights(source: Path) -> list[str]:
    return [
        file.relative_to(source).as_posix()
        for file in files_of(source)
        if file.suffix == ".safetensors"
    ]


def _copied(source: Path, place: Path) -> Path:
    shutil.copytree(source, place)
    return place


def _require_refusal(subject: Subject, source: Path, what: str) -> None:
    out = subject.folder / f"out-{len(list(subject.folder.iterdir()))}"
    try:
        _read(subject, source, out)
    except AdapterHubError:
        return
    except Exception as error:
        raise CheckFailedError(
            f"{what} raises {one_line(error)}, no error of the project"
        ) from error
    raise CheckFailedError(f"{what} is imported without an error")


CHECKS: Final = (
    check_example_is_imported,
    check_example_is_recognised,
    check_source_is_unmodified,
    check_what_is_absent_is_refused,
    check_broken_files_are_refused,
    check_links_are_not_followed,
    check_nothing_is_executed,
)
