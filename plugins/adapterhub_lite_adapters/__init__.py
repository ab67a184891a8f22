"""Adapters that AdapterHub's ``adapters`` library saved: read as methods of other plugins."""

from collections.abc import Iterator

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import ConformanceCase, ImporterSpec
from adapterhub_lite_adapters.conformance import CASES


@hookimpl
def adapterhub_importers() -> Iterator[ImporterSpec]:
    """Offer to read the folders of ``save_adapter``."""
    yield ImporterSpec(
        name="adapters",
        summary="An adapter that AdapterHub's adapters library saved: bottleneck, LoRA, (IA)³ or "
        "prefix, with its head.",
        implementation="adapterhub_lite_adapters.importing:AdaptersImporter",
        takes=frozenset({"base", "convert", "labels", "multi-label", "objective"}),
        recognised_by=(
            frozenset({"adapter_config.json", "adapter.safetensors"}),
            frozenset({"adapter_config.json", "pytorch_adapter.bin"}),
        ),
    )


@hookimpl
def adapterhub_conformance() -> tuple[ConformanceCase, ...]:
    """Give the kit a folder to import."""
    return CASES
