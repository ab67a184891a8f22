"""The kinds of plugin that can be begun, and how what they offer is called."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

PLUGIN_GROUP: Final = "adapterhub_lite"
COMMAND_GROUP: Final = "adapterhub_lite.commands"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of plugin.

    ``summary`` says what the template does, in a line. ``offer`` is what it offers is called in the
    template ("my-method"). ``group`` is the entry points' group, ``target`` what stands behind the
    module's name in the entry point.
    """

    summary: str
    offer: str
    group: str = PLUGIN_GROUP
    target: str = ""


KINDS: Final[Mapping[str, Kind]] = {
    "method": Kind(
        summary="a fine-tuning method that trains the layer norms only.",
        offer="my-method",
    ),
    "objective": Kind(
        summary="an objective that trains a classifier with the focal loss.",
        offer="my-objective",
    ),
    "loader": Kind(
        summary="a loader that rounds weights to bfloat16 and computes in float32.",
        offer="my-loader",
    ),
    "preset": Kind(
        summary="a preset for few-shot classification that trains the top two layers.",
        offer="my-preset",
    ),
    "merge": Kind(
        summary="a merge strategy that takes the median of models, number by number.",
        offer="my-strategy",
    ),
    "reader": Kind(
        summary="a reader of INI files, where each section is a row.",
        offer="my-reader",
    ),
    "metric": Kind(
        summary="a metric for classifiers: the mean reciprocal rank of the right label.",
        offer="my-metric",
    ),
    "exporter": Kind(
        summary="an exporter that writes a classifier's labels, one a line.",
        offer="my-exporter",
    ),
    "importer": Kind(
        summary="an importer of plain transformers folders.",
        offer="my-importer",
    ),
    "base": Kind(
        summary="finds base models by names of your own.",
        offer="my-resolver",
    ),
    "events": Kind(
        summary="follows runs, and notes what is published.",
        offer="my-events",
    ),
    "command": Kind(
        summary="a command of ahl that counts versions by their method.",
        offer="my-command",
        group=COMMAND_GROUP,
        target=":command",
    ),
    "targets": Kind(
        summary="names the modules of DistilBERT, for methods that choose them by their role.",
        offer="my-targets",
    ),
    "section": Kind(
        summary="a section of the report: how far each stage of the training went.",
        offer="my-section",
    ),
    "composition": Kind(
        summary="a composition that answers with the mean of its members' probabilities.",
        offer="my-composition",
    ),
    "remote": Kind(
        summary="a place to push versions to and pull them from: a folder of loose files.",
        offer="my-remote",
    ),
}
"""Kind, as ``--kind`` takes it → what is known of its template."""
