"""AdapterFusion: an attention over adapters that were trained before."""

from collections.abc import Iterator

from pydantic import Field

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import AdapterRef, ConformanceCase, MethodSpec, Params


class FusionParams(Params):
    """Which adapters are fused."""

    adapters: list[AdapterRef] = Field(
        min_length=2,
        description="Adapters of one method on the recipe's base, by reference or folder. They "
        "stay as they are; their heads are left behind.",
    )
    regularization: float = Field(
        default=0.01,
        ge=0,
        description="Factor of the squared distance of all value matrices from the identity, "
        "which is added to the loss.",
    )


@hookimpl
def adapterhub_methods() -> Iterator[MethodSpec]:
    """Offer AdapterFusion."""
    yield MethodSpec(
        name="fusion",
        summary="An attention over several frozen adapters, in each layer that they adapt.",
        implementation="adapterhub_lite_fusion.method:Fusion",
        params=FusionParams,
        paper="https://arxiv.org/abs/2005.00247",
        upon="fusible",
        capabilities=frozenset({"quantised-base", "gradient-checkpointing"}),
        learning_rate=5e-5,
    )


@hookimpl
def adapterhub_conformance() -> tuple[ConformanceCase, ...]:
    """Give adapters to fuse."""
    adapter = {"name": "bottleneck", "reduction_factor": 4}
    return (
        ConformanceCase(
            kind="method",
            name="fusion",
            params={"adapters": ["first", "second"]},
            adapters={"first": adapter, "second": {**adapter, "bottleneck_size": 4}},
        ),
    )
