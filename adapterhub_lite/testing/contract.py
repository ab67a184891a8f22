"""Whether an implementation has what its protocol asks for, told from signatures alone."""

import inspect
from collections.abc import Mapping, Sequence
from types import new_class
from typing import Any, Final

from adapterhub_lite import protocols
from adapterhub_lite.specs import (
    Capability,
    CompositionSpec,
    ExporterSpec,
    MergeSpec,
    MethodSpec,
    ObjectiveSpec,
    Spec,
)

TOGETHER: Final[Mapping[Capability, type]] = {
    "fusible": protocols.FusibleMethod,
    "per-token": protocols.SplitMethod,
    "shared-pass": protocols.MixedMethod,
    "several-active": protocols.TogetherMethod,
}
"""What a method may declare of several adapters → what it then has to be besides."""
COMPOSITIONS: Final[Mapping[str, type]] = {
    "adapter": protocols.AdapterComposition,
    "model": protocols.ModelComposition,
    "answers": protocols.AnswersComposition,
}
"""What comes of the members → what the composition has to be."""


def protocol_of(kind: str, spec: Spec) -> tuple[type, tuple[str, ...]]:
    """Return what an implementation of this spec has to be, and which of its methods are called."""
    plain = {
        "method": protocols.Method,
        "objective": protocols.Objective,
        "loader": protocols.Loader,
        "reader": protocols.Reader,
        "metric": protocols.Metric,
        "strategy": protocols.MergeStrategy,
        "exporter": protocols.Exporter,
        "importer": protocols.Importer,
    }
    protocol: type = plain.get(kind, object)
    left_out = set()
    if isinstance(spec, MethodSpec):
        able = [part for capability, part in TOGETHER.items() if capability in spec.capabilities]
        protocol = new_class("Method", (*able, protocols.Method))
    if isinstance(spec, MergeSpec) and "low-rank" in spec.capabilities:
        protocol = protocols.LowRankStrategy
    if isinstance(spec, MergeSpec) and "needs-data" in spec.capabilities:
        protocol = protocols.DataStrategy
    if isinstance(spec, ExporterSpec) and spec.deploys:
        protocol = protocols.Target
    if isinstance(spec, CompositionSpec):
        protocol = protocols.LearningComposition if spec.learns else COMPOSITIONS[spec.result]
    if isinstance(spec, ObjectiveSpec) and not spec.adopts:
        left_out.add("adopt")
    return protocol, tuple(name for name in _methods(protocol) if name not in left_out)


def differences(found: Any, protocol: type, names: Sequence[str]) -> list[str]:
    """Return what an implementation lacks, or takes otherwise than it is called."""
    return [fault for name in names if (fault := _difference(found, protocol, name))]


def _difference(found: Any, protocol: type, name: str) -> str:
    method = getattr(found, name, None)
    if not callable(method):
        return f"it has no {name}()"
    asked = list(inspect.signature(getattr(protocol, name)).parameters)[1:]
    try:
        signature = inspect.signature(method)
    except ValueError:  # written in C, where signatures are not always told
        return ""
    try:
        signature.bind(*asked)
    except TypeError as error:
        return f"{name}({', '.join(asked)}) cannot be called: {error}"
    return ""


def _methods(protocol: type) -> list[str]:
    """Return the methods of a protocol and of those that it extends, in their order."""
    names: dict[str, None] = {}
    for base in reversed(protocol.__mro__):
        if base.__module__.startswith(f"{protocols.__name__}."):
            own = (n for n, v in vars(base).items() if inspect.isfunction(v))
            names |= dict.fromkeys(n for n in own if n == "__call__" or not n.startswith("_"))
    return list(names)
