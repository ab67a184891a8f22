"""Compositions: adapters on one base that act together, or stand beside each other."""

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, PositiveInt, model_validator

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


class SplitParams(Params):
    """What tells members' tokens apart."""

    by: Literal["tokens", "segment"] = Field(
        default="tokens",
        description="tokens: members take as many as each of them says, from the text's beginning, "
        "and the last one the rest; segment: of a pair of texts the first member takes the first.",
    )


class SplitMember(Params):
    """What a member takes of a text."""

    tokens: PositiveInt | None = Field(
        default=None,
        description="How many tokens, special ones included; the last member takes the rest.",
    )


class RouteParams(Params):
    """How the member is chosen that answers an input."""

    by: Literal["words", "centroid", "router"] = Field(
        default="words",
        description="What the choice goes by: each member's words; the cosine to the mean "
        "embedding of its examples; or a logistic regression trained on these.",
    )
    least: float | None = Field(
        default=None,
        ge=-1,
        le=1,
        description="The cosine, or a router's probability, that a member needs; with less the "
        "one that `head` names answers.",
    )
    c: float | None = Field(
        default=None,
        gt=0,
        description="A router's inverse strength of regularisation; chosen by cross-validation "
        "where it is not given.",
    )
    max_length: int | None = Field(
        default=None, ge=2, description="How many tokens of an input a learnt choice reads; 128."
    )
    most_examples: int | None = Field(
        default=None, ge=2, description="How many examples of a member are learnt from; 500."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        learnt = ("least", "c", "max_length", "most_examples")
        foreign = {"words": learnt, "centroid": ("c",), "router": ()}[self.by]
        for name in foreign:
            if getattr(self, name) is not None:
                raise ValueError(f"'{name}' means nothing by {self.by}")
        return self


class ParallelParams(Params):
    """What is made of the members' answers."""

    answer: Literal["each", "mean"] = Field(
        default="each",
        description="each: the answers of all members, by their names; mean: the mean of their "
        "probabilities, of classifiers with the same labels.",
    )


class ParallelMember(Params):
    """How much a member counts."""

    weight: float = Field(
        default=1.0, gt=0, description="How much its probabilities count in the mean."
    )


class RouteMember(Params):
    """What goes to a member."""

    words: list[Annotated[str, Field(min_length=1)]] = Field(
        default=[],
        description="Words or phrases; by words a text with one of them, whole and in any case, "
        "goes to this member.",
    )


@hookimpl
def adapterhub_compositions() -> Iterator[CompositionSpec]:
    """Offer average, stack, split, switch, route and parallel."""
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
        name="split",
        summary="Each part of a text goes through its own member: so many tokens, or one of two "
        "texts.",
        implementation="adapterhub_lite_compositions.split:Split",
        paper="https://arxiv.org/abs/2311.11077",
        result="model",
        params=SplitParams,
        member_params=SplitMember,
        needs=frozenset({*TOGETHER, "per-token"}),
    )
    yield CompositionSpec(
        name="switch",
        summary="One member answers, with its own head: the one named when asking, or a default.",
        implementation="adapterhub_lite_compositions.switch:Switch",
        result="answers",
    )
    yield CompositionSpec(
        name="route",
        summary="Each input goes to one member: by words, or by what was learnt of examples.",
        implementation="adapterhub_lite_compositions.route:Route",
        result="answers",
        params=RouteParams,
        member_params=RouteMember,
        learns=True,
    )
    yield CompositionSpec(
        name="parallel",
        summary="Every member answers each input, in one pass where they can; or their mean does.",
        implementation="adapterhub_lite_compositions.parallel:Parallel",
        paper="https://arxiv.org/abs/2010.11918",
        result="answers",
        params=ParallelParams,
        member_params=ParallelMember,
        asks_all=True,
    )


@hookimpl
def adapterhub_conformance() -> Iterator[ConformanceCase]:
    """Say what goes to which member, where a composition asks.

    Of a route the first member is asked for the rest; of a split the last one takes it.
    """
    members: list[dict[str, Any]] = [{}, {"words": ["violin", "quiet flute"]}]
    yield ConformanceCase(kind="composition", name="route", params={"members": members})
    members = [{"tokens": 2}, {"tokens": 1}, {}]
    yield ConformanceCase(kind="composition", name="split", params={"members": members})
