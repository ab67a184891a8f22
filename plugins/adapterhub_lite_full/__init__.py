"""Full and partial fine-tuning: all weights learn, or the top layers only."""

from collections.abc import Iterator
from typing import Literal, get_args

from pydantic import Field, NonNegativeInt, model_validator

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import ExporterSpec, ImporterSpec, MethodSpec, Params, PresetSpec, Task


class FullParams(Params):
    """Which of the base's own weights learn."""

    layers: NonNegativeInt | Literal["all"] = Field(
        default="all",
        description="How many layers learn, counted from the top; all: the whole model; 0: none of "
        "it, only the task's head.",
    )
    parameters: list[str] = Field(
        default=[],
        description="Instead of layers: names of the weights that learn, or patterns with * and ?, "
        "as in '*.bias' or 'encoder.layer.5.*'.",
    )

    @model_validator(mode="after")
    def _one_choice(self) -> "FullParams":
        if self.parameters and self.layers != "all":
            raise ValueError("give either 'layers' or 'parameters', not both")
        return self


@hookimpl
def adapterhub_methods() -> Iterator[MethodSpec]:
    """Offer full and partial fine-tuning."""
    yield MethodSpec(
        name="full",
        summary="Train the base's own weights: all of them, the top layers, or those named.",
        implementation="adapterhub_lite_full.method:Full",
        params=FullParams,
        needs_base=False,
        capabilities=frozenset({"gradient-checkpointing", "identity-at-init"}),
        learning_rate=5e-5,
    )


@hookimpl
def adapterhub_presets() -> Iterator[PresetSpec]:
    """Offer ``linear-probe``."""
    yield PresetSpec(
        name="linear-probe",
        summary="A head on the frozen base: nothing of the base learns.",
        recipe={"method": {"name": "full", "layers": 0}},
    )


@hookimpl
def adapterhub_exporters() -> Iterator[ExporterSpec]:
    """Offer transformers' own folder format."""
    yield ExporterSpec(
        name="hf",
        summary="A whole model for from_pretrained and pipeline; an adapter goes merged.",
        implementation="adapterhub_lite_full.exporting:FolderExporter",
        tasks=frozenset(get_args(Task)),
        takes=frozenset({"model"}),
        deploys=True,
    )


@hookimpl
def adapterhub_importers() -> Iterator[ImporterSpec]:
    """Offer to read whole models: transformers', sentence-transformers' and mergekit's folders."""
    yield ImporterSpec(
        name="hf",
        summary="A whole model that transformers, sentence-transformers or mergekit wrote.",
        implementation="adapterhub_lite_full.importing:TransformersImporter",
        takes=frozenset({"convert", "labels", "multi-label", "objective"}),
        recognised_by=(frozenset({"config.json"}),),
    )
