"""Which distributions the parts of an artifact came from, and whether they are here to load it."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import (
    AdapterHubError,
    MissingDependencyError,
    PluginError,
    UnknownNameError,
    UserError,
)
from adapterhub_lite.inference.artifact import ARTIFACT_FILE, ArtifactInfo, Origin, parse_info
from adapterhub_lite.plugins import FIRST_PARTY

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry, Version

logger = logging.getLogger(__name__)


def origins_of(info: ArtifactInfo, catalogue: Catalogue) -> tuple[Origin, ...]:
    """Return which distribution offers each part of an artifact here and now."""
    sources = {kind: catalogue.offer(kind, name).source for kind, name in info.parts.items()}
    return tuple(
        Origin(kind=kind, name=info.parts[kind], distribution=s.distribution, version=s.version)
        for kind, s in sources.items()
    )


def require_parts(
    info: ArtifactInfo, ref: str, catalogue: Catalogue, kinds: Iterable[str] | None = None
) -> None:
    """Refuse an artifact whose plugins, or those of ``kinds``, are not here; name what to install.

    Raises MissingDependencyError; UserError for a plugin that may not load, PluginError for a
    broken one; UnknownNameError for an artifact that does not tell its plugins.
    """
    for kind in info.parts if kinds is None else kinds:
        try:
            catalogue.offer(kind, info.parts[kind])
        except UnknownNameError:
            origin = info.origin(kind)
            if origin is None:
                raise
            raise _absent(origin, ref, catalogue) from None


def warn_of_versions(info: ArtifactInfo, ref: str, catalogue: Catalogue) -> None:
    """Warn of plugins that are here in another version than the artifact was made with.

    They most often understand it all the same, so it is not refused. Our own always do.
    """
    for kind in info.parts:
        origin = info.origin(kind)
        if origin is None or origin.distribution == FIRST_PARTY:
            continue
        source = catalogue.offer(kind, origin.name).source
        made = f"{origin.distribution} {origin.version}"
        here = f"{source.distribution} {source.version}"
        if here != made:
            way_out = f"ahl plugins install '{origin.distribution}=={origin.version}'"
            logger.warning(
                "%s was made with %s, and %s is installed; should it fail: %s",
                ref,
                made,
                here,
                way_out,
            )


@contextmanager
def absent_named(registry: "Registry", catalogue: Catalogue) -> Iterator[None]:
    """Let the error for a name that nobody here offers say which distribution offers it.

    A version in the registry that was made with it knows; where none was, the error stays. Raises
    as :func:`require_parts`.
    """
    try:
        yield
    except UnknownNameError as error:
        for version in _newest_first(registry):
            for origin in _recorded(version, registry):
                if (origin.kind, origin.name) == (error.kind, error.name):
                    raise _absent(origin, "the recipe", catalogue) from None
        raise


def _newest_first(registry: "Registry") -> "Iterator[Version]":
    for entry in registry.search():
        with suppress(AdapterHubError):  # a damaged version is told of when it is used
            yield registry.resolve(str(entry))


def _recorded(version: "Version", registry: "Registry") -> Iterator[Origin]:
    """Yield where the parts that a version was made with came from."""
    manifest = version.manifest
    parts = [("method", manifest.method), ("objective", manifest.objective)]
    parts += [("loader", manifest.loader), *(("strategy", part) for part in manifest.strategies)]
    for kind, part in parts:
        if part is not None and part.plugin and part.plugin_version:
            made_by = {"distribution": part.plugin, "version": part.plugin_version}
            yield Origin(kind=kind, name=part.name, **made_by)
    if manifest.kind == "composition":
        with suppress(AdapterHubError):
            content = registry.read_file(version, ARTIFACT_FILE)
            yield from parse_info(content, str(version)).origins


def _absent(origin: Origin, ref: str, catalogue: Catalogue) -> AdapterHubError:
    """Return the error for a part that nothing here offers: not installed, or why it is not."""
    what = (
        f"{ref} needs the {origin.kind} {origin.name!r} of {origin.distribution} {origin.version}"
    )
    install = f"ahl plugins install '{origin.distribution}=={origin.version}'"
    records = [r for r in catalogue.records if r.source.distribution == origin.distribution]
    for record in records:
        if record.source.barrier:
            reason = record.source.barrier.reason
            return UserError(f"{what}, which is {record.status}", hint=reason)
        if record.status == "broken":
            return PluginError(
                f"{what}, which is broken: {record.error}",
                plugin=record.source.id,
                hint=f"ahl doctor tells more; or: {install}",
            )
    if records:
        here = records[0].source.version
        return UserError(f"{what}; {here} is installed, which has none", hint=f"run: {install}")
    return MissingDependencyError(f"{what}, which", install=install)
