"""Specs of what makes one version of several: merge strategies and compositions."""

from dataclasses import dataclass
from typing import Literal

from adapterhub_lite.specs.params import NoParams, Params
from adapterhub_lite.specs.training import Spec
from adapterhub_lite.specs.words import Capability, MergeCapability


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeSpec(Spec):
    """How models become one. ``implementation``: :class:`~adapterhub_lite.protocols.MergeStrategy`.

    ``formula`` says what is computed, in one line. ``params`` are the merge's; ``model_params``
    those of each model, which may also be given once for all; the names of the two do not overlap.
    ``base``: whether the models' common base is needed, can be used, or is of no use. ``models``:
    how many inputs beside the base it takes, at least and at most (0: any number).
    """

    formula: str
    params: type[Params] = NoParams
    model_params: type[Params] = NoParams
    base: Literal["needed", "optional", "unused"] = "needed"
    models: tuple[int, int] = (1, 0)
    capabilities: frozenset[MergeCapability] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompositionSpec(Spec):
    """How adapters act together, by a :class:`~adapterhub_lite.protocols.Composition`.

    ``result``: what comes of the members: one *adapter* that takes their place, one *model* with
    all of them active, or *answers* of members that are asked alone. ``params`` are the
    composition's, ``member_params`` each member's own. ``members``: how many it takes, at least
    and at most (0: any number). ``needs``: what the method of every member has to declare.
    ``asks_all``: of answers, that every member answers each input, so that none is the default.
    ``learns``: of answers, that it learns from examples when it is made; the implementation is a
    :class:`~adapterhub_lite.protocols.LearningComposition`.
    """

    result: Literal["adapter", "model", "answers"]
    params: type[Params] = NoParams
    member_params: type[Params] = NoParams
    members: tuple[int, int] = (2, 0)
    needs: frozenset[Capability] = frozenset()
    asks_all: bool = False
    learns: bool = False
