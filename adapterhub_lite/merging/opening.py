"""From what a person calls a model to something that gives its tensors."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.inference.artifact import ArtifactInfo
from adapterhub_lite.streaming.sources import Source

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry, Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A model, or an adapter with its base, that can be merged.

    ``ref`` is what the user wrote, ``source`` gives the tensors (of an adapter: those of the model
    that it makes of its base), ``folder`` has the config and the tokenizer. ``base`` is an
    adapter's; ``version`` is set when it came from the registry, ``info`` when this project made
    it.
    """

    ref: str
    source: Source
    folder: Path
    config: Mapping[str, Any]
    base: "Opened | None" = None
    version: "Version | None" = None
    info: ArtifactInfo | None = None


def open_model(ref: str, registry: "Registry", catalogue: Catalogue) -> Opened:
    """Open a model folder, a registry version or an adapter.

    Raises BaseModelError, NotFoundError or IntegrityError, and CapabilityError for an adapter that
    is no change of weights.
    """
    raise NotImplementedError
