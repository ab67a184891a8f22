"""Every hook a plugin can implement; each docstring is a complete plugin module.

A plugin is a module named by an entry point of the group ``adapterhub_lite``. It implements any
of these hooks with ``hookimpl`` and returns specs; it imports no torch. An implementation may take
any subset of a hook's arguments, so that a hook can gain arguments without breaking it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pluggy

from adapterhub_lite.specs import (
    CompositionSpec,
    ConformanceCase,
    ExporterSpec,
    ImporterSpec,
    LoaderSpec,
    MergeSpec,
    MethodSpec,
    MetricSpec,
    ObjectiveSpec,
    PresetSpec,
    ReaderSpec,
    RemoteSpec,
    ReportSectionSpec,
    ResolvedBase,
    TargetRole,
)

PROJECT = "adapterhub_lite"

API_VERSION = 1
"""The version of the plugin API: the hooks, the specs and the protocols together.

It rises with each addition that a plugin can rely on; what was written for a lower one works on. A
plugin that relies on an addition says so: ``adapterhub_api = 2`` in its module.
"""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class HookSpecs:
    """The hooks, as pluggy reads them."""

    @hookspec
    def adapterhub_methods(self) -> Iterable[MethodSpec]:  # type: ignore[empty-body]
        """Offer fine-tuning methods.

        ::

            from adapterhub_lite.hookspecs import hookimpl
            from adapterhub_lite.specs import MethodSpec


            @hookimpl
            def adapterhub_methods():
                yield MethodSpec(
                    name="bitfit",
                    summary="Train the biases only.",
                    implementation="my_plugin.bitfit:BitFit",
                    paper="https://arxiv.org/abs/2106.10199",
                )
        """

    @hookspec
    def adapterhub_objectives(self) -> Iterable[ObjectiveSpec]:  # type: ignore[empty-body]
        """Offer objectives: what is optimised, and how the result is scored.

        ::

            from adapterhub_lite.hookspecs import hookimpl
            from adapterhub_lite.specs import ObjectiveSpec


            @hookimpl
            def adapterhub_objectives():
                yield ObjectiveSpec(
                    name="prototypes",
                    summary="Nearest class mean on frozen embeddings.",
                    implementation="my_plugin.prototypes:Prototypes",
                    task="text-classification",
                    families=frozenset({"encoder"}),
                )
        """

    @hookspec
    def adapterhub_loaders(self) -> Iterable[LoaderSpec]:  # type: ignore[empty-body]
        """Offer loaders: in which precision or quantisation a base is loaded.

        ::

            from adapterhub_lite.hookspecs import hookimpl
            from adapterhub_lite.specs import LoaderSpec, Requirement


            @hookimpl
            def adapterhub_loaders():
                yield LoaderSpec(
                    name="int4",
                    summary="Four-bit integers, by my library.",
                    implementation="my_plugin.int4:Int4Loader",
                    requires=(Requirement(module="mylib", install="pip install mylib"),),
                    quantised=True,
                    bytes_per_parameter=0.5,
                )
        """

    @hookspec
    def adapterhub_presets(self) -> Iterable[PresetSpec]:  # type: ignore[empty-body]
        """Offer presets: one word for a loader, a method and an objective with their parameters.

        ::

            from adapterhub_lite.hookspecs import hookimpl
            from adapterhub_lite.specs import PresetSpec


            @hookimpl
            def adapterhub_presets():
                yield PresetSpec(
                    name="setfit-deep",
                    summary="Few-shot, training the top three layers.",
                    recipe={
                        "method": {"name": "full", "layers": 3},
                        "objective": {"name": "contrastive"},
                    },
                )
        """

    @hookspec
    def adapterhub_readers(self) -> Iterable[ReaderSpec]:  # type: ignore[empty-body]
        """Offer readers of data files.

        ::

            from adapterhub_lite.hookspecs import hookimpl
            from adapterhub_lite.specs import ReaderSpec


            @hookimpl
            def adapterhub_readers():
                yield ReaderSpec(
                    name="ini",
                    summary="One row a section.",
                    implementation="my_plugin.ini:IniReader",
                    suffixes=(".ini",),
                )
        """

    @hookspec
    def adapterhub_metrics(self) -> Iterable[MetricSpec]:  # type: ignore[empty-body]
        """Offer metrics.

        ::

            from adapterhub_lite.hookspecs import hookimpl
            from adapterhub_lite.specs import MetricSpec


            @hookimpl
            def adapterhub_metrics():
                yield MetricSpec(
                    name="top_3_accuracy",
                    summary="The right label is among the three likeliest.",
                    implementation="my_plugin.metrics:top_3_accuracy",
                    tasks=frozenset({"text-classification"}),
                    multi_label=False,
                )
        """

    @hookspec
    def adapterhub_merge_strategies(self) -> Iterable[MergeSpec]:  # type: ignore[empty-body]
        """Offer merge strategies.

        ::

            from adapterhub_lite.hookspecs import hookimpl
            from adapterhub_lite.specs import MergeSpec


            @hookimpl
            def adapterhub_merge_strategies():
                yield MergeSpec(
                    name="median",
                    summary="The median of the models, number by number.",
                    formula="θ = median(θ₁ … θₙ)",
                    implementation="my_plugin.median:Median",
                    base="unused",
                    capabilities=frozenset({"commutative"}),
                )
        """

    @hookspec
    def adapterhub_compositions(self) -> Iterable[CompositionSpec]:  # type: ignore[empty-body]
        """Offer compositions: how adapters on one base act together at inference.

        ::

            from adapterhub_lite.hookspecs import hookimpl
            from adapterhub_lite.specs import CompositionSpec


            @hookimpl
            def adapterhub_compositions():
                yield CompositionSpec(
                    name="vote",
                    summary="The label that most of the members answer.",
                    implementation="my_plugin.vote:Vote",
                    result="answers",
                    members=(3, 0),
                )
        """

    @hookspec
    def adapterhub_exporters(self) -> Iterable[ExporterSpec]:  # type: ignore[empty-body]
        """Offer formats that a version can be written in.

        ::

            from adapterhub_lite.hookspecs import hookimpl
            from adapterhub_lite.specs import ExporterSpec


            @hookimpl
            def adapterhub_exporters():
                yield ExporterSpec(
                    name="labels-txt",
                    summary="The labels, one a line.",
                    implementation="my_plugin.labels:LabelsExporter",
                    tasks=frozenset({"text-classification"}),
                )
        """

    @hookspec
    def adapterhub_importers(self) -> Iterable[ImporterSpec]:  # type: ignore[empty-body]
        """Offer formats that a version can be made from.

        ::

            from adapterhub_lite.hookspecs import hookimpl
            from adapterhub_lite.specs import ImporterSpec


            @hookimpl
            def adapterhub_importers():
                yield ImporterSpec(
                    name="my-format",
                    summary="A folder that my tool writes.",
                    implementation="my_plugin.my_format:MyImporter",
                )
        """

    @hookspec(firstresult=True)
    def adapterhub_resolve_base(self, ref: str) -> ResolvedBase | None:
        """Find the base model that ``ref`` names, or return None to let another plugin try.

        ::

            from pathlib import Path

            from adapterhub_lite.hookspecs import hookimpl
            from adapterhub_lite.specs import ResolvedBase


            @hookimpl
            def adapterhub_resolve_base(ref):
                if not ref.startswith("lab:"):
                    return None
                folder = Path("/srv/models") / ref.removeprefix("lab:")
                return ResolvedBase(ref=ref, path=str(folder), source="lab")
        """

    @hookspec(firstresult=True)
    def adapterhub_target_modules(self, model_type: str, role: TargetRole) -> Sequence[str] | None:
        """Name the modules that play a role in an architecture, or return None.

        ``model_type`` as ``config.json`` spells it; the roles are those of
        ``adapterhub_lite.specs.TARGET_ROLES``. A module is named by the end of its name, from a
        dot on, and ``*`` stands for each layer's number. The answer goes before what a method
        knows itself.

        ::

            from adapterhub_lite.hookspecs import hookimpl

            MODULES = {
                "query-value": ["q_lin", "v_lin"],
                "attention-output": ["out_lin"],
                "feed-forward-output": ["layer.*.ffn.lin2"],
            }


            @hookimpl
            def adapterhub_target_modules(model_type, role):
                return MODULES.get(role) if model_type == "distilbert" else None
        """

    @hookspec
    def adapterhub_report_sections(self) -> Iterable[ReportSectionSpec]:  # type: ignore[empty-body]
        """Offer sections of the HTML report of a run.

        The code is a function of a ``ReportedRun``, and returns a ``Section`` of plain text, both
        of ``adapterhub_lite.reports.sections``; the core escapes it and lays it out.

        ::

            from adapterhub_lite.hookspecs import hookimpl
            from adapterhub_lite.specs import ReportSectionSpec


            @hookimpl
            def adapterhub_report_sections():
                yield ReportSectionSpec(
                    name="energy",
                    summary="What the training cost in kilowatt-hours.",
                    implementation="my_plugin.energy:energy_section",
                )
        """

    @hookspec
    def adapterhub_remotes(self) -> Iterable[RemoteSpec]:  # type: ignore[empty-body]
        """Offer places that versions are pushed to and pulled from.

        The code is a function that opens an address: a ``RemoteOpener`` that returns a ``Remote``,
        both of ``adapterhub_lite.remotes.contract``.

        ::

            from adapterhub_lite.hookspecs import hookimpl
            from adapterhub_lite.specs import RemoteSpec


            @hookimpl
            def adapterhub_remotes():
                yield RemoteSpec(
                    name="vault",
                    summary="The laboratory's own vault.",
                    implementation="my_plugin.vault:open_vault",
                    schemes=("vault",),
                )
        """

    @hookspec
    def adapterhub_run_event(self, event: Mapping[str, Any]) -> None:
        """Follow a run: called with each event just after it was written to ``events.jsonl``.

        ::

            from adapterhub_lite.hookspecs import hookimpl


            @hookimpl
            def adapterhub_run_event(event):
                if event["event"] == "published":
                    notify(f"{event['version']} is ready")
        """

    @hookspec
    def adapterhub_conformance(self) -> Iterable[ConformanceCase]:  # type: ignore[empty-body]
        """Say how the conformance kit is to check an offer, where defaults do not do.

        ::

            from adapterhub_lite.hookspecs import hookimpl
            from adapterhub_lite.specs import ConformanceCase


            @hookimpl
            def adapterhub_conformance():
                yield ConformanceCase(
                    kind="method",
                    name="bitfit",
                    params={"last_layers": 1},
                    expected_failures={"check_bake_is_exact": "biases are rounded to bfloat16"},
                )
        """
