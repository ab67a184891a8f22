"""Compositions: adapters on one base that act together, or stand beside each other."""

from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import Field

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import Capability, CompositionSpec, ConformanceCase, Params

TOGETHER: Final[frozenset[Capability]] = frozenset({"several-active"})


class AverageParams(Params):
    """How weights are read."""

    normalise: bool = Field(
        default=True, description="Divide the weights by their sum, so that they add up to 1."
    )


class AverageMember(Params):
    """How much a member counts."""

    weight: float = Field(default=1.0, description="The factor of what this adapter adds.")


class RouteMember(Params):
    """What goes to a member."""

    words: list[Annotated[str, Field(min_length=1)]] = Field(
        default=[],
        description="Words or phrases; a text with one of them, whole and in any case, goes to "
        "this member.",
    )


@hookimpl
def adapterhub_compositions() -> Iterator[CompositionSpec]:
    """Offer average, stack, switch and route."""
    yield CompositionSpec(
        name="average",
        summary="One adapter that adds what the members add, weighted; nothing is approximated.",
        implementation="adapterhub_lite_compositions.average:Average",
        result="adapter",
        params=AverageParams,
        member_params=AverageMember,
        needs=TOGETHER,
    )
    yield CompositionSpec(
        name="stack",
        summary="All members active, each upon those before it; of LoRAs the sum of their updates.",
        implementation="adapterhub_lite_compositions.stack:Stack",
        paper="https://arxiv.org/abs/2005.00052",
        result="model",
        needs=TOGETHER,
    )
    yield CompositionSpec(
        name="switch",
        summary="One member answers, with its own head: the one named when asking, or a default.",
        implementation="adapterhub_lite_compositions.switch:Switch",
        result="answers",
    )
    yield CompositionSpec(
        name="route",
        summary="Each input goes to the member whose words it has, and else to a default.",
        implementation="adapterhub_lite_compositions.route:Route",
        result="answers",
        member_params=RouteMember,
    )


@hookimpl
def adapterhub_conformance() -> Iterator[ConformanceCase]:
    """Give each member of a route but the first, which is asked for the rest, words to go by."""
    members = [{}, {"words": ["violin", "quiet flute"]}]
    yield ConformanceCase(kind="composition", name="route", params={"members": members})
