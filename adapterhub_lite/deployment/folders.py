"""What importing and baking share."""

from typing import TYPE_CHECKING

from adapterhub_lite.catalogue import Catalogue

if TYPE_CHECKING:
    from adapterhub_lite_registry import Component


def component(kind: str, name: str, catalogue: Catalogue) -> "Component":
    """Return a plugin's part as a manifest names it."""
    from adapterhub_lite_registry import Component

    source = catalogue.offer(kind, name).source
    return Component(name=name, plugin=source.distribution, plugin_version=source.version)
