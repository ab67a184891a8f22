"""Where base models come from, beside folders and the registry: packages on PyPI, and the hub."""

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import ResolvedBase


@hookimpl
def adapterhub_resolve_base(ref: str) -> ResolvedBase | None:
    """Resolve a packaged model's name, or a hub id."""
    from adapterhub_lite_bases import hub, packaged

    return packaged.resolve(ref) or hub.resolve(ref)
