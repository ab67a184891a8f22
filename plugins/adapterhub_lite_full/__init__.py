"""Full and partial fine-tuning: all weights learn, or the top layers only."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, PositiveInt

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import MethodSpec, Params


class FullParams(Params):
    """Which of the base's own weights learn."""

    layers: PositiveInt | Literal["all"] = Field(
        default="all",
        description="How many layers learn, counted from the top; all: the whole model.",
    )


@hookimpl
def adapterhub_methods() -> Iterator[MethodSpec]:
    """Offer full fine-tuning."""
    yield MethodSpec(
        name="full",
        summary="Train the base's own weights: all of them, or the top layers.",
        implementation="adapterhub_lite_full.method:Full",
        params=FullParams,
    )
