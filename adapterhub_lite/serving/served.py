"""Which versions a server answers for: names are looked up in the registry, and nowhere else."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from adapterhub_lite.errors import NotFoundError, UserError, nearest_name
from adapterhub_lite.serving.failures import RefusedError
from adapterhub_lite_registry import Lineage, Manifest, Registry, Version

if TYPE_CHECKING:
    # A supervisor imports this module, and what that one imports is torch's.
    from adapterhub_lite.serving.contract import Answers

_LONGEST_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Found:
    """The version that a request's ``model`` means now, and what it is for."""

    version: str
    task: str | None


class Served:
    """The references that may be asked for.

    A name given alone opens all its versions and aliases: ``tickets``, ``tickets@7``,
    ``tickets@prod``. A name given with a number or an alias opens that one, which the name alone
    then means too. With ``alias`` every name in the registry that has it is open so, whenever it
    gets it. A request's ``model`` is held against these words before anything is looked up, so what
    is no name of the registry never reaches the disk.
    """

    def __init__(
        self,
        fleet: "Answers",
        registry: Registry,
        refs: Sequence[str] = (),
        alias: str | None = None,
    ) -> None:
        self._fleet, self._registry, self._alias = fleet, registry, alias
        self._refs = tuple(refs)
        self._open = frozenset(ref for ref in refs if "@" not in ref)
        self._fixed = {ref.partition("@")[0]: ref for ref in reversed(refs) if "@" in ref}
        # A version never changes and its number is never given again, so its manifest is kept.
        self._manifest = lru_cache(4096)(lambda version: registry.resolve(version).manifest)

    def find(self, model: str) -> Found:
        """Return what ``model`` means now.

        Raises RefusedError (404) for what is not served, with the nearest name, NotFoundError for
        a version or alias that is not there (any more).
        """
        version = self._fleet.resolve(self._reference(model))
        return Found(version, self._manifest(version).task)

    def names(self) -> list[str]:
        """Return what may be asked for, in order: the references that were given, and names."""
        found = set(self._refs)
        if self._alias is not None:
            found.update(_with_alias(self._registry, self._alias))
        return sorted(found)

    def version(self, model: str) -> Version:
        """Return the version that ``model`` means now, whole; raises as :meth:`find`."""
        return self._registry.resolve(self._reference(model))

    def versions(self, name: str) -> list[str]:
        """Return all versions of a name that may be asked for, newest first."""
        if name not in self._open:
            return [str(self.version(name))]
        return [f"{name}@{number}" for number in reversed(self._registry.versions(name))]

    def lineage(self, model: str) -> Lineage:
        """Return what a version was made from, and what was made from it; raises as `find`."""
        return self._registry.lineage(self._reference(model))

    def manifest(self, version: str) -> Manifest:
        """Return the manifest of a version that was found."""
        return self._manifest(version)

    def _reference(self, model: str) -> str:
        """Return the reference of the registry that ``model`` stands for."""
        name, at, _ = model.partition("@")
        if name in self._open:
            return model
        if name in self._fixed and (not at or model in self._refs):
            return model if at else self._fixed[name]
        if self._alias is not None and model in (name, f"{name}@{self._alias}"):
            wanted = f"{name}@{self._alias}"
            if name in self._registry.names():
                return wanted
        raise self._unknown(model)

    def _unknown(self, model: str) -> RefusedError:
        shown = model if len(model) <= _LONGEST_SHOWN else f"{model[:_LONGEST_SHOWN]}…"
        near = nearest_name(shown, self.names())
        return RefusedError(
            f"model {shown!r} is not served here",
            status=404,
            code="model_not_found",
            param="model",
            hint=f"did you mean {near!r}?" if near else "see: GET /v1/models",
        )


def require_task(found: Found, tasks: Sequence[str], elsewhere: str) -> None:
    """Raise RefusedError (400) for a version of another task; ``elsewhere`` answers those."""
    if found.task is not None and found.task not in tasks:
        raise RefusedError(
            f"{found.version} does {found.task}, which this route does not answer",
            status=400,
            code="wrong_task",
            param="model",
            hint=elsewhere,
        )


def require_refs(refs: Sequence[str], alias: str | None) -> None:
    """Raise UserError when nothing is named to be served, or a path is."""
    if not refs and alias is None:
        raise UserError(
            "nothing is named to be served", hint="name versions, or say --alias prod for all"
        )
    for ref in refs:
        if "/" in ref or ref.startswith((".", "~")):
            raise UserError(
                f"{ref!r} is a path: only versions of the registry are served",
                hint="publish it first (see: ahl import --help)",
            )


def require_there(registry: Registry, refs: Sequence[str], alias: str | None) -> None:
    """Raise NotFoundError for a reference that is not there, or an alias that no name has."""
    for ref in refs:
        registry.resolve(ref)
    if alias is not None and not _with_alias(registry, alias):
        raise NotFoundError(
            f"no name has the alias {alias!r}", hint=f"set it: ahl alias set NAME@7 {alias}"
        )


def _with_alias(registry: Registry, alias: str) -> list[str]:
    return [name for name in registry.names() if alias in registry.aliases(name)]
