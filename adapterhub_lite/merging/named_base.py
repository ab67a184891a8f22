"""The base of an adapter that another tool wrote: it names one, and has no hashes to tell it by."""

from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite.bases import fingerprint, resolve_base
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.deployment.pickled import pickled_weights
from adapterhub_lite.errors import BaseModelError, UserError
from adapterhub_lite.specs import ResolvedBase

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry


def find_named_base(
    ref: str,
    named: str,
    given: str | None,
    registry: "Registry",
    catalogue: Catalogue,
    *,
    any_base: bool,
) -> ResolvedBase:
    """Return the base that is given, else the one that the adapter ``ref`` names.

    Raises BaseModelError when it is not found, or when the one that is named is here as well and is
    another, unless ``any_base``.
    """
    if given is None:
        return _resolve(ref, named, registry, catalogue)
    base = resolve_base(given, catalogue, registry)
    if not any_base and not _may_be(named, base, registry, catalogue):
        raise BaseModelError(
            f"the adapter {ref!r} was trained on {named!r}, another base than {base.ref!r}",
            ref=base.ref,
            hint="give the right one with --base, or insist on this one with --any-base",
        )
    return base


def _resolve(ref: str, named: str, registry: "Registry", catalogue: Catalogue) -> ResolvedBase:
    if not named:
        message = f"the adapter {ref!r} names no base"
        raise BaseModelError(message, ref=ref, hint="say which it was trained on: --base REF")
    try:
        return resolve_base(named, catalogue, registry)
    except BaseModelError as error:
        raise BaseModelError(
            f"the base that the adapter {ref!r} names is not found: {error.message}",
            ref=ref,
            hint="say where it lies: --base REF",
        ) from error


def _may_be(named: str, base: ResolvedBase, registry: "Registry", catalogue: Catalogue) -> bool:
    """Say whether a base may be the one of that name: nothing is downloaded to be sure."""
    if not named or ("/" in named and not Path(named).expanduser().is_dir()):
        return True
    try:
        own = resolve_base(named, catalogue, registry)
    except UserError:
        return True
    return own.path == base.path or _same_weights(own, base)


def _same_weights(one: ResolvedBase, other: ResolvedBase) -> bool:
    if not all((Path(base.path) / "config.json").is_file() for base in (one, other)):
        return True  # one is no model, which opening it tells
    if any(pickled_weights(Path(base.path)) for base in (one, other)):
        return False
    return fingerprint(one).weights == fingerprint(other).weights
