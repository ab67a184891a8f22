"""Bottleneck adapters: small networks beside or behind the sub-layers of a frozen base."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import MethodSpec, Params, PresetSpec, TargetRole
from adapterhub_lite_bottleneck.styles import NonLinearity, Reads, Style

HOULSBY = "https://arxiv.org/abs/1902.00751"
PFEIFFER = "https://arxiv.org/abs/2005.00247"


class BottleneckParams(Params):
    """Where bottlenecks are put, and how wide they are."""

    style: Style = Field(
        default="pfeiffer",
        description="houlsby: behind the attention and the feed-forward; pfeiffer: behind the "
        "feed-forward; parallel: beside the feed-forward.",
    )
    reads: Reads | None = Field(
        default=None,
        description="What the adapter reads. houlsby and pfeiffer: the projection they stand "
        "behind, or the sublayer's output, with residual connection and LayerNorm, as AdapterHub's "
        "seq_bn does; parallel: the feed-forward's input, or the residual stream before its "
        "LayerNorm. Left out, the first of each.",
    )
    reduction_factor: float = Field(
        default=16, gt=0, description="Hidden size over bottleneck width; 16 makes 768 wide 48."
    )
    bottleneck_size: PositiveInt | None = Field(
        default=None, description="The bottleneck's width, instead of a reduction factor."
    )
    non_linearity: NonLinearity | None = Field(
        default=None, description="The activation; left out, the style's own."
    )
    scaling: float | None = Field(
        default=None,
        description="Factor of the adapter's output; left out, the style's own (parallel 4, else "
        "1).",
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout inside the bottleneck.")
    layers: list[NonNegativeInt] | Literal["all"] = Field(
        default="all", description="Numbers of the layers that get adapters, from 0."
    )
    target_modules: list[Annotated[str, Field(min_length=1)]] | None = Field(
        default=None,
        description="Endings of output projections' names, for an architecture that is not known; "
        "the first number in a name is its layer's.",
    )

    def open_targets(self) -> Mapping[str, Sequence[TargetRole]]:
        """Return the roles of the output projections that the style adapts, if none are named."""
        if self.target_modules is not None:
            return {}
        attention: tuple[TargetRole, ...] = ()
        if self.style == "houlsby":
            attention = ("attention-output",)
        return {"target_modules": (*attention, "feed-forward-output")}


@hookimpl
def adapterhub_methods() -> Iterator[MethodSpec]:
    """Offer bottleneck adapters."""
    yield MethodSpec(
        name="bottleneck",
        summary="Small bottleneck networks behind, or beside, the sub-layers of a frozen base.",
        implementation="adapterhub_lite_bottleneck.method:Bottleneck",
        params=BottleneckParams,
        paper=HOULSBY,
        capabilities=frozenset(
            {
                "quantised-base",
                "gradient-checkpointing",
                "identity-at-init",
                "several-active",
                "mixed-batch",
                "per-token",
                "fusible",
                "disable",
            }
        ),
        learning_rate=1e-3,
    )


@hookimpl
def adapterhub_presets() -> Iterator[PresetSpec]:
    """Offer the two arrangements by their authors' names."""
    styles = (
        ("houlsby", HOULSBY, "Bottleneck adapters behind the attention and the feed-forward."),
        ("pfeiffer", PFEIFFER, "Bottleneck adapters behind the feed-forward."),
    )
    for style, paper, summary in styles:
        method: dict[str, Any] = {"name": "bottleneck", "style": style}
        yield PresetSpec(name=style, summary=summary, paper=paper, recipe={"method": method})
