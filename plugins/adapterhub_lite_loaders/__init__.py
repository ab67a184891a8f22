"""Loaders: in which precision a base is loaded."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import LoaderSpec, Params


class LoaderParams(Params):
    """Where a base is loaded to."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="The device; auto takes a GPU when there is one."
    )


@hookimpl
def adapterhub_loaders() -> Iterator[LoaderSpec]:
    """Offer 32-bit floating point."""
    yield LoaderSpec(
        name="fp32",
        summary="Full precision: 32-bit floating point.",
        implementation="adapterhub_lite_loaders.floating:Float32Loader",
        params=LoaderParams,
        bytes_per_parameter=4,
    )
