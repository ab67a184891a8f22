"""A catalogue that trains as any other, and keeps what was trained to look at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.protocols import Attached, LoadedBase, Outcome
from adapterhub_lite.specs import MethodSpec, ObjectiveSpec, Params, Spec

WRAPPERS = (".base_layer", ".original_module", ".token_adapter")
"""What methods put into a parameter's name."""


@dataclass
class Seen:
    """The last training: the base as it was loaded, what was attached, what came out."""

    loaded: Mapping[str, torch.Tensor] = field(default_factory=dict)
    attached: Attached | None = None
    outcome: Outcome | None = None

    def frozen(self) -> dict[str, torch.Tensor]:
        """Return the parameters that did not learn, by the names they had in the base."""
        assert self.attached is not None
        return {
            self._plain(name): value.detach()
            for name, value in self.attached.model.named_parameters()
            if name not in self.attached.trainable
        }

    def _plain(self, name: str) -> str:
        for part in WRAPPERS:
            name = name.replace(part, "")
        ends = name.split(".")
        plain = (".".join(ends[start:]) for start in range(len(ends)))
        return next((found for found in plain if found in self.loaded), name)


class Watching(Catalogue):
    """Wraps the methods and objectives it hands out."""

    def __init__(self, catalogue: Catalogue) -> None:
        super().__init__(record.source for record in catalogue.records)
        self.seen = Seen()

    def implementation(self, spec: Spec) -> Any:
        """Return what stands behind a spec, watched."""
        found = super().implementation(spec)
        if isinstance(spec, MethodSpec):
            return _Method(found, self.seen)
        return _Objective(found, self.seen) if isinstance(spec, ObjectiveSpec) else found


class _Watched:
    def __init__(self, inner: Any, seen: Seen) -> None:
        self._inner, self._seen = inner, seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Method(_Watched):
    def attach(self, base: LoadedBase, params: Params) -> Attached:
        self._seen.loaded = {
            name: value.detach().clone() for name, value in base.model.named_parameters()
        }
        self._seen.attached = self._inner.attach(base, params)
        assert self._seen.attached is not None
        return self._seen.attached


class _Objective(_Watched):
    def fit(self, *arguments: Any) -> Outcome:
        self._seen.outcome = self._inner.fit(*arguments)
        assert self._seen.outcome is not None
        return self._seen.outcome
