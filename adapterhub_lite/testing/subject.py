"""What a conformance check looks at: an offer, its implementation, and a place to work in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.plugins.admitted import Offer
from adapterhub_lite.specs import Params


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One offer under check.

    ``folder`` is empty and the check's own; ``shared`` is one folder for all checks of the offer,
    for models and the like that are dear to make. ``params`` stand in for the spec's defaults;
    ``adapters`` say what becomes of names of adapters in them, as those of a case do.
    With ``quick`` a check looks at the first architecture and head that will do, not at all.
    """

    offer: Offer
    catalogue: Catalogue
    folder: Path
    shared: Path
    params: Mapping[str, Any] = field(default_factory=dict)
    adapters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    quick: bool = False

    @property
    def implementation(self) -> Any:
        """What stands behind the spec, imported anew or from the cache of modules."""
        return self.catalogue.implementation(self.offer.spec)

    @property
    def settled(self) -> Params:
        """The spec's parameters, with those of the case in place of defaults."""
        model: type[Params] = self.offer.spec.params  # type: ignore[attr-defined]  # by kind
        return model.model_validate(dict(self.params))
