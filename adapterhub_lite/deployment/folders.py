"""What importing and baking say alike in a manifest."""

from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite.architecture import read_architecture
from adapterhub_lite.bases import fingerprint
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.specs import ResolvedBase

if TYPE_CHECKING:
    from adapterhub_lite_registry import Base, Component


def component(kind: str, name: str, catalogue: Catalogue) -> "Component":
    """Return a plugin's part as a manifest names it."""
    from adapterhub_lite_registry import Component

    source = catalogue.offer(kind, name).source
    return Component(name=name, plugin=source.distribution, plugin_version=source.version)


def manifest_base(base: ResolvedBase) -> "Base":
    """Return a base, with its fingerprint, as a manifest names it."""
    from adapterhub_lite_registry import Base

    marks = fingerprint(base)
    architecture = read_architecture(Path(base.path), base.ref)
    return Base(
        ref=base.ref,
        revision=base.revision or None,
        config_sha256=marks.config,
        weights_sha256=marks.weights,
        tokenizer_sha256=marks.tokenizer,
        arch=architecture.model_type or None,
        hidden=architecture.hidden_size,
        layers=architecture.layers,
    )
