"""What hooks and contracts hand about: a base that was found, a head, a case for the kit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from adapterhub_lite.specs.words import HeadKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedBase:
    """A base model found on this machine: a folder with ``config.json`` and safetensors.

    ``ref`` is what the user wrote; ``revision`` pins it where its source has revisions;
    ``source`` is the kind of place it came from ("path", "packaged", "hub", "registry").
    """

    ref: str
    path: str
    source: str
    revision: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """As what a base is loaded: the model class, and for new layers their labels.

    ``problem`` says what the labels of a sequence classification are; it is empty elsewhere.
    """

    kind: HeadKind = "none"
    labels: tuple[str, ...] = ()
    problem: Literal["", "single-label", "multi-label", "regression"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformanceCase:
    """How the conformance kit is to check an offer: ``kind`` and ``name`` say which.

    ``params`` stand in for defaults that do not suit a model of 32 numbers a token. Kinds without
    parameters have there what they are tried on: a reader or importer ``example``, an exporter
    ``recipe``, a remote ``address``; a composition has its ``members`` beside its own. The modules
    of their checks tell more. ``adapters`` are those that a method's params name: for each name the
    method that the kit makes it with, as a recipe writes that. Of ``expected_failures`` each names
    a check that cannot pass, and says why.
    """

    kind: str
    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    adapters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    expected_failures: Mapping[str, str] = field(default_factory=dict)
