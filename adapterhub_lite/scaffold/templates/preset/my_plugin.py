"""my-plugin: a preset, one word for a method, an objective and their parameters."""

from collections.abc import Iterable

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import PresetSpec


@hookimpl
def adapterhub_presets() -> Iterable[PresetSpec]:
    """Offer the preset; what a recipe says itself wins over it."""
    yield PresetSpec(
        name="my-preset",
        summary="Few-shot classification that trains the top two layers.",
        recipe={
            "loader": {"name": "fp32"},
            "method": {"name": "full", "layers": 2},
            "objective": {"name": "contrastive"},
        },
    )
