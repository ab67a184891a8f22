"""LoRA adapters become one LoRA adapter, without their base.

Strategies of the capability ``low-rank`` merge the factors themselves; those of the capability
``delta`` merge the updates, a matrix at a time, which are then approximated by factors.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import CapabilityError, MergeError
from adapterhub_lite.merging.adapters.files import LoraFolder, ModuleKind, read_lora_folder
from adapterhub_lite.merging.adapters.heads import merge_heads
from adapterhub_lite.merging.adapters.output import AdapterContent, AdapterType, write_lora
from adapterhub_lite.merging.adapters.updates import FactorSource, UpdateWriter, ZeroSource
from adapterhub_lite.merging.adapters.versions import write_version_files
from adapterhub_lite.merging.engine import Applied, Settings, TensorJob, in_threads, run_jobs
from adapterhub_lite.merging.memory import check_inputs, split_params
from adapterhub_lite.streaming.factors import Compressed, Factors, RankChoice, no_change
from adapterhub_lite.streaming.headers import TensorShape
from adapterhub_lite.streaming.naming import layers_of
from adapterhub_lite.streaming.tensors import Origin

ParamsOf = Callable[[str], tuple[Any, Sequence[Any]]]
"""A weight's name → the strategy's parameters there, and each model's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedAdapter:
    """What came of a merge of adapters.

    ``modules`` has each module's factors with the error of their approximation. ``is_version``:
    the folder is also one of this project's versions. ``notices`` are to be told to the user.
    """

    folder: Path
    modules: Mapping[str, Compressed]
    is_version: bool
    notices: Sequence[str] = ()


def merge_adapters(
    folders: Sequence[Path],
    destination: Path,
    strategy: str,
    catalogue: Catalogue,
    *,
    labels: Sequence[str] = (),
    model_params: Sequence[Mapping[str, Any]] = (),
    rank: RankChoice | None = None,
    heads: str = "refuse",
    dtype: AdapterType = "float32",
    settings: Settings | None = None,
    **parameters: Any,
) -> MergedAdapter:
    """Merge adapters' folders into the folder ``destination``, as PEFT and this project load it.

    ``parameters`` are the strategy's, or for every adapter the same; ``model_params`` each one's
    own. Without a ``rank`` a strategy of factors chooses it, and a dense result gets the largest of
    the adapters'. Raises RecipeError for parameters, CapabilityError for what cannot be merged so,
    BaseModelError and MergeError for adapters.
    """
    named = labels or [folder.name for folder in folders]
    spec = catalogue.strategy(strategy)
    check_inputs(spec, len(folders), has_base=spec.base != "unused")
    applied = Applied(spec, catalogue.implementation(spec))
    params, each = split_params(spec, parameters, model_params or [{}] * len(folders))
    if reasons := applied.strategy.check(params, each):
        raise CapabilityError(f"{strategy} cannot merge so: {reasons[0]}")
    adapters = [
        read_lora_folder(folder, label) for folder, label in zip(folders, named, strict=True)
    ]
    merged = merge_factors(adapters, applied, lambda _: (params, each), rank, settings)
    return write_merged(adapters, merged, destination, heads=heads, dtype=dtype)


def merge_factors(
    adapters: Sequence[LoraFolder],
    applied: Applied,
    params_of: ParamsOf,
    rank: RankChoice | None = None,
    settings: Settings | None = None,
) -> dict[str, Compressed]:
    """Merge the updates of each module that any of the adapters has.

    ``params_of`` is asked with the names of weights ("encoder.layer.0.query.weight"). Raises
    CapabilityError for a strategy that merges whole weights, and MergeError for adapters of
    different bases.
    """
    kinds = module_kinds(adapters)
    shapes = {module: _shape(module, adapters) for module in kinds}
    if "low-rank" in applied.spec.capabilities:
        return _merge_factors(adapters, shapes, applied, params_of, rank, settings or Settings())
    if "delta" in applied.spec.capabilities:
        return _merge_dense(adapters, shapes, applied, params_of, rank, settings or Settings())
    raise CapabilityError(
        f"{applied.spec.name} merges whole weights, not updates of them",
        hint="merge models (output: {kind: model}), then take the adapter out: ahl extract-lora",
    )


def write_merged(
    adapters: Sequence[LoraFolder],
    merged: Mapping[str, Compressed],
    destination: Path,
    *,
    heads: str = "refuse",
    dtype: AdapterType = "float32",
) -> MergedAdapter:
    """Write a merged adapter's folder, with the head that the rule ``heads`` gives.

    Raises MergeError where heads differ and the rule does not say which to take.
    """
    kept = merge_heads(adapters, heads)
    kinds = module_kinds(adapters)
    content = AdapterContent(
        factors={module: result.factors for module, result in merged.items()},
        saved=kept.saved,
        saved_modules=kept.modules,
        embeddings=[module for module, kind in kinds.items() if kind == "embedding"],
        targets=shared_targets(adapters),
        transposed=any(adapter.config.get("fan_in_fan_out") for adapter in adapters),
        task_type=_agreed(adapters, "task_type"),
        base=_agreed(adapters, "base_model_name_or_path"),
    )
    version = write_version_files(adapters, kept, heads, destination)
    write_lora(destination, content, dtype)
    return MergedAdapter(
        folder=destination,
        modules=dict(merged),
        is_version=version.is_version,
        notices=version.notices,
    )


def module_kinds(adapters: Sequence[LoraFolder]) -> dict[str, ModuleKind]:
    """Return every module that an adapter changes, in order; raises MergeError for two kinds."""
    kinds: dict[str, ModuleKind] = {}
    for adapter in adapters:
        for module, kind in adapter.kinds.items():
            if kinds.setdefault(module, kind) != kind:
                raise MergeError(f"{module!r} is an embedding in one adapter, and not in another")
    return dict(sorted(kinds.items()))


def _shape(module: str, adapters: Sequence[LoraFolder]) -> tuple[int, int]:
    """Return a module's outputs and inputs; raises MergeError where adapters do not agree."""
    first: LoraFolder | None = None
    for adapter in adapters:
        if module not in adapter.factors:
            continue
        first = first or adapter
        here, there = first.factors[module].shape, adapter.factors[module].shape
        if here != there:
            raise MergeError(
                f"{module!r} is of {here} in {first.label}, and of {there} in {adapter.label}",
                tensor=module,
                hint="they were trained on different bases",
            )
    assert first is not None, "a module is one of some adapter"
    return first.factors[module].shape


def _merge_factors(
    adapters: Sequence[LoraFolder],
    shapes: Mapping[str, tuple[int, int]],
    applied: Applied,
    params_of: ParamsOf,
    rank: RankChoice | None,
    settings: Settings,
) -> dict[str, Compressed]:
    strategy: Any = applied.strategy

    def merge(module: str) -> Compressed:
        parts = [adapter.factors.get(module, no_change(shapes[module])) for adapter in adapters]
        params, each = params_of(f"{module}.weight")
        result: Compressed = strategy.merge_factors(parts, params, each, rank)
        return result

    return dict(zip(shapes, in_threads(merge, shapes, settings.threads), strict=True))


def _merge_dense(
    adapters: Sequence[LoraFolder],
    shapes: Mapping[str, tuple[int, int]],
    applied: Applied,
    params_of: ParamsOf,
    rank: RankChoice | None,
    settings: Settings,
) -> dict[str, Compressed]:
    """Merge updates in the orientation in which weights are stored, and turn them back."""
    if rank == RankChoice():
        raise CapabilityError(
            f"{applied.spec.name} gives dense updates, whose exact rank is as a rule the full one",
            hint="give a rank (output: {kind: adapter, rank: 32}), or take linear-exact",
        )
    kinds = module_kinds(adapters)
    transposed = {
        module
        for adapter in adapters
        for module in adapter.factors
        if kinds[module] == "embedding" or adapter.config.get("fan_in_fan_out")
    }
    outputs = {
        f"{module}.weight": TensorShape("F32", shape[::-1] if module in transposed else shape)
        for module, shape in shapes.items()
    }
    zeros = ZeroSource(outputs)
    sources = [
        FactorSource(adapter.label, _stored(adapter.factors, transposed), zeros)
        for adapter in adapters
    ]
    writer = UpdateWriter(outputs, zeros, rank or _largest(adapters), settings.seed)
    layers = layers_of(outputs)
    jobs = []
    for name, shape in outputs.items():
        params, each = params_of(name)
        jobs.append(
            TensorJob(
                name=name,
                output=shape,
                applied=applied,
                params=params,
                model_params=tuple(each),
                base=Origin(zeros, name),
                origins=tuple(Origin(source, name) for source in sources),
                layer=layers.get(name),
            )
        )
    run_jobs(jobs, writer, settings)
    found = {name.removesuffix(".weight"): result for name, result in writer.compressed.items()}
    return {
        module: _turned(found[module]) if module in transposed else found[module]
        for module in shapes
    }


def _stored(factors: Mapping[str, Factors], transposed: set[str]) -> dict[str, Factors]:
    return {
        f"{module}.weight": part.transposed if module in transposed else part
        for module, part in factors.items()
    }


def _turned(result: Compressed) -> Compressed:
    return Compressed(result.factors.transposed, result.error)


def _largest(adapters: Sequence[LoraFolder]) -> RankChoice:
    ranks = [part.rank for adapter in adapters for part in adapter.factors.values()]
    return RankChoice(rank=max(ranks))


def shared_targets(adapters: Sequence[LoraFolder]) -> list[str]:
    """Return how PEFT finds the modules: the ends of names that the adapters were trained with.

    Nothing, which stands for full names, where ends alone would find more than was trained.
    """
    targets: set[str] = set()
    for adapter in adapters:
        listed = adapter.config.get("target_modules")
        narrowed = ("exclude_modules", "layers_to_transform", "layers_pattern")
        if not isinstance(listed, list) or any(adapter.config.get(key) for key in narrowed):
            return []
        targets |= set(listed)
    return sorted(targets)


def _agreed(adapters: Sequence[LoraFolder], key: str) -> str | None:
    """Return a setting's value if it is the same everywhere."""
    values = {str(adapter.config.get(key) or "") for adapter in adapters}
    return (values.pop() or None) if len(values) == 1 else None
