"""Every parameter-efficient method of Hugging Face PEFT, by one generated path."""

from collections.abc import Iterator
from typing import get_args

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import ConformanceCase, ExporterSpec, ImporterSpec, MethodSpec, Task
from adapterhub_lite_peft.conformance import CASES
from adapterhub_lite_peft.params import params_model
from adapterhub_lite_peft.table import ENTRIES


@hookimpl
def adapterhub_methods() -> Iterator[MethodSpec]:
    """Offer one method for each of PEFT's configs."""
    for peft_type, entry in ENTRIES.items():
        yield MethodSpec(
            name=entry.name,
            summary=entry.summary,
            implementation="adapterhub_lite_peft.method:PeftMethod",
            paper=entry.paper,
            params=params_model(peft_type),
            families=entry.families,
            heads=entry.takes,
            refusals=entry.refusals,
            capabilities=entry.capabilities,
            learning_rate=entry.learning_rate,
        )


@hookimpl
def adapterhub_exporters() -> Iterator[ExporterSpec]:
    """Offer PEFT's own folder format."""
    yield ExporterSpec(
        name="peft",
        summary="A folder for PeftModel.from_pretrained: the adapter, its tokenizer and a card.",
        implementation="adapterhub_lite_peft.exporting:PeftExporter",
        tasks=frozenset(get_args(Task)),
        takes=frozenset({"adapter"}),
        deploys=True,
    )


@hookimpl
def adapterhub_importers() -> Iterator[ImporterSpec]:
    """Offer to read PEFT's own folder format."""
    yield ImporterSpec(
        name="peft",
        summary="A folder that PeftModel.save_pretrained wrote, in safetensors.",
        implementation="adapterhub_lite_peft.importing:PeftImporter",
        takes=frozenset({"base", "labels", "multi-label", "objective"}),
        recognised_by=(
            frozenset({"adapter_config.json", "adapter_model.safetensors"}),
            frozenset({"adapter_config.json", "adapter_model.bin"}),
        ),
    )


@hookimpl
def adapterhub_conformance() -> tuple[ConformanceCase, ...]:
    """Give parameters that fit layers 32 wide, where PEFT's defaults do not."""
    return CASES
