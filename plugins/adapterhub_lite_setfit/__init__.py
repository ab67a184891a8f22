"""Few-shot text classification: contrastive training of an encoder's top, and a logistic head."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, field_validator

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import (
    ConformanceCase,
    ExporterSpec,
    ImporterSpec,
    ObjectiveSpec,
    Params,
    PresetSpec,
)


class ContrastiveParams(Params):
    """How the few-shot engine trains. The defaults hold from 2 to 150 classes."""

    engine: Literal["fast", "setfit"] = Field(
        default="fast",
        description="fast: cached lower layers and supervised contrastive loss; setfit: the setfit "
        "library's own trainer.",
    )
    steps: int = Field(
        default=50, ge=0, description="Most training steps; 0 keeps the encoder frozen."
    )
    learning_rate: float = Field(
        default=3e-4, gt=0, description="Peak learning rate (engine fast)."
    )
    temperature: float = Field(
        default=0.1, gt=0, description="Temperature of the contrastive loss."
    )
    batch_size: int = Field(default=64, ge=4, description="Most texts in a batch.")
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW's weight decay.")
    max_length: int = Field(default=128, ge=8, description="Longest text, in tokens; cut beyond.")
    folds: int = Field(
        default=4,
        ge=0,
        description="Folds of the cross-validation that decides between the frozen and the "
        "fine-tuned encoder, two or more; 0 skips it and keeps the fine-tuned one.",
    )
    validation_rows: int = Field(
        default=128,
        ge=1,
        description="Validate on no more folds than it takes to score this many held-out rows.",
    )
    head_c: list[float] = Field(
        default=[1.0, 3.0, 10.0, 30.0, 100.0],
        min_length=1,
        description="Inverse regularisation strengths that the logistic head chooses from.",
    )
    threshold: float = Field(
        default=0.5, gt=0, lt=1, description="Probability from which a label counts (multi-label)."
    )

    @field_validator("folds")
    @classmethod
    def _one_fold_is_none(cls, value: int) -> int:
        if value == 1:
            raise ValueError("a cross-validation has two folds or more; 0 is for none")
        return value


PAPER = "https://arxiv.org/abs/2209.11055"
SUPCON = "https://arxiv.org/abs/2004.11362"


@hookimpl
def adapterhub_objectives() -> Iterator[ObjectiveSpec]:
    """Offer the contrastive objective."""
    yield ObjectiveSpec(
        name="contrastive",
        summary="Pull texts of one label together, then fit a logistic head on the embeddings.",
        implementation="adapterhub_lite_setfit.objective:Contrastive",
        paper=SUPCON,
        task="text-classification",
        params=ContrastiveParams,
        families=frozenset({"encoder"}),
        multi_label=True,
    )


@hookimpl
def adapterhub_presets() -> Iterator[PresetSpec]:
    """Offer ``setfit``."""
    yield PresetSpec(
        name="setfit",
        summary="A classifier from a few examples a class: the encoder's top layer and a head.",
        paper=PAPER,
        recipe={
            "loader": {"name": "fp32"},
            "method": {"name": "full", "layers": 1},
            "objective": {"name": "contrastive"},
        },
    )


@hookimpl
def adapterhub_exporters() -> Iterator[ExporterSpec]:
    """Offer SetFit's own folder format."""
    yield ExporterSpec(
        name="setfit",
        summary="A folder for SetFitModel.from_pretrained; the head is a pickle, as setfit wants.",
        implementation="adapterhub_lite_setfit.exporting:SetFitExporter",
        tasks=frozenset({"text-classification"}),
        takes=frozenset({"model"}),
        deploys=True,
    )


@hookimpl
def adapterhub_importers() -> Iterator[ImporterSpec]:
    """Offer to read SetFit's own folder format."""
    yield ImporterSpec(
        name="setfit",
        summary="A folder that SetFitModel.save_pretrained wrote.",
        implementation="adapterhub_lite_setfit.importing:SetFitImporter",
        takes=frozenset({"convert"}),
        recognised_by=(
            frozenset({"config.json", "config_setfit.json"}),
            frozenset({"config.json", "model_head.pkl"}),
        ),
    )


@hookimpl
def adapterhub_conformance() -> Iterator[ConformanceCase]:
    """Take few steps, which a tiny model needs to be large, and choose nothing by folds.

    What goes out as a SetFit folder, and comes in again, is trained for two steps.
    """
    params = {"steps": 24, "learning_rate": 1e-2, "folds": 0, "max_length": 32}
    yield ConformanceCase(kind="objective", name="contrastive", params=params)
    recipe = {
        "method": {"name": "full", "layers": 1},
        "objective": {"name": "contrastive", "steps": 2, "folds": 0, "head_c": [1.0]},
    }
    yield ConformanceCase(
        kind="exporter",
        name="setfit",
        params={"recipe": recipe},
        expected_failures={"check_files_are_plain": "SetFit reads its head from a pickle alone"},
    )
    yield ConformanceCase(kind="importer", name="setfit", params={"recipe": recipe})
