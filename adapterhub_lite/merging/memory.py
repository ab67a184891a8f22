"""Merging of state dicts that are in memory."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import CapabilityError, MergeError
from adapterhub_lite.merging.engine import Applied, Settings, TensorJob, run_jobs
from adapterhub_lite.merging.output import MemoryWriter
from adapterhub_lite.recipes import validate
from adapterhub_lite.specs import MergeSpec, Params
from adapterhub_lite.streaming.headers import FLOATS, TensorShape
from adapterhub_lite.streaming.naming import layers_of
from adapterhub_lite.streaming.sources import Source, StateSource
from adapterhub_lite.streaming.tensors import Layer, Origin

State = Mapping[str, torch.Tensor]


def merge_states(
    models: Sequence[State],
    strategy: str,
    catalogue: Catalogue,
    *,
    base: State | None = None,
    model_params: Sequence[Mapping[str, Any]] = (),
    settings: Settings | None = None,
    **parameters: Any,
) -> dict[str, torch.Tensor]:
    """Merge state dicts of the same names and shapes; the results have the first one's dtypes.

    ``parameters`` are the strategy's, or for every model the same; ``model_params`` are each
    model's own ("weight"). Tensors of whole numbers have to agree, and are copied. Raises
    RecipeError for parameters, MergeError for tensors, CapabilityError for a base too few or many.
    """
    spec = catalogue.strategy(strategy)
    applied = Applied(spec, catalogue.implementation(spec))
    sources = [StateSource(state, f"model {number}") for number, state in enumerate(models, 1)]
    under = StateSource(base, "base") if base is not None else None
    check_inputs(spec, len(models), has_base=base is not None)
    params, each = split_params(spec, parameters, model_params or [{}] * len(models))
    if reasons := applied.strategy.check(params, each):
        raise CapabilityError(f"{strategy} cannot merge so: {reasons[0]}")
    require_same_tensors([*([under] if under else []), *sources])
    layers = layers_of(sources[0].tensors)
    jobs = [
        _job(name, applied, params, each, under, sources, layers.get(name))
        for name in sorted(sources[0].tensors)
    ]
    writer = MemoryWriter({job.name: job.output for job in jobs})
    run_jobs(jobs, writer, settings or Settings())
    return writer.state


def check_inputs(spec: MergeSpec, models: int, *, has_base: bool, has_data: bool = False) -> None:
    """Refuse a number of models, a base, or data, that a strategy cannot use.

    Raises CapabilityError.
    """
    least, most = spec.models
    if models < least or (most and models > most):
        raise CapabilityError(f"{spec.name} merges {_bounds(spec, models)}, not {models}")
    if spec.base == "needed" and not has_base:
        raise CapabilityError(
            f"{spec.name} works on differences from a base, and none is given",
            hint="name the model that all were trained from as the base",
        )
    if spec.base == "unused" and has_base:
        raise CapabilityError(
            f"{spec.name} makes no use of a base", hint="leave it out, or merge it as a model"
        )
    if ("needs-data" in spec.capabilities) != has_data:
        raise CapabilityError(
            f"{spec.name} makes no use of data"
            if has_data
            else f"{spec.name} computes with rows of data, and merges into a whole model",
            hint="leave `data` out"
            if has_data
            else "give every model of a recipe its rows: {ref: …, data: {train: rows.csv}}",
        )


def _bounds(spec: MergeSpec, models: int) -> str:
    least, most = spec.models
    if least == most:
        return f"exactly {least} model" + ("s" if least != 1 else "")
    return f"at least {least} models" if models < least else f"at most {most} models"


def split_params(
    spec: MergeSpec, shared: Mapping[str, Any], each: Sequence[Mapping[str, Any]]
) -> tuple[Params, tuple[Params, ...]]:
    """Return the strategy's parameters, and each model's: its own over the shared ones.

    Raises RecipeError for a key that neither has.
    """
    fields = spec.model_params.model_fields
    per_model = {field.alias or name for name, field in fields.items()}
    for_all = {key: value for key, value in shared.items() if key in per_model}
    rest = {key: value for key, value in shared.items() if key not in per_model}
    params = validate(spec.params, rest, where=spec.name)
    own = tuple(
        validate(spec.model_params, {**for_all, **mine}, where=f"models.{number}")
        for number, mine in enumerate(each)
    )
    return params, own


def require_same_tensors(sources: Sequence[Source]) -> None:
    """Refuse models whose tensors differ in names or shapes; raises MergeError naming the first."""
    first, *others = sources
    for other in others:
        if different := sorted(first.tensors.keys() ^ other.tensors.keys()):
            name = different[0]
            has, lacks = (first, other) if name in first.tensors else (other, first)
            raise MergeError(f"{lacks.label} lacks {name!r}, which {has.label} has", tensor=name)
        for name, here in first.tensors.items():
            there = other.tensors[name]
            if here.shape != there.shape:
                raise MergeError(
                    f"{name!r} has the shape {here.shape} in {first.label}"
                    f" and {there.shape} in {other.label}",
                    tensor=name,
                )


def _job(
    name: str,
    applied: Applied,
    params: Params,
    each: tuple[Params, ...],
    base: Source | None,
    sources: Sequence[Source],
    layer: Layer | None,
) -> TensorJob:
    shape: TensorShape = sources[0].tensors[name]
    everywhere = [*([base] if base else []), *sources]
    merged = shape.dtype in FLOATS
    if not merged:
        require_equal(name, [Origin(source, name) for source in everywhere])
    return TensorJob(
        name=name,
        output=shape,
        applied=applied if merged else None,
        params=params,
        model_params=each,
        base=Origin(base, name) if base else None,
        origins=tuple(Origin(source, name) for source in sources),
        layer=layer,
    )


def require_equal(name: str, origins: Sequence[Origin]) -> None:
    """Refuse a tensor of whole numbers that is not the same everywhere; raises MergeError."""
    first = origins[0].source.raw(origins[0].name)
    for other in origins[1:]:
        if not torch.equal(first, other.source.raw(other.name)):
            raise MergeError(
                f"{name!r} holds whole numbers, which cannot be merged, and differs between "
                f"{origins[0].source.label} and {other.source.label}",
                tensor=name,
            )
