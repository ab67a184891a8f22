"""The checks of a loader: what it loads, in which precision, and what it computes with."""

from collections.abc import Iterator
from typing import Any, Final, cast

import torch
from safetensors.torch import load_file

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite.specs import LoaderSpec
from adapterhub_lite.testing.models import (
    HEADS,
    MODELS,
    Place,
    base_folder,
    batch_of,
    distance,
    loss_of,
    outputs,
    resolved_base,
)
from adapterhub_lite.testing.outcomes import CheckFailedError, NotApplicableError
from adapterhub_lite.testing.sharing import made_once, needed
from adapterhub_lite.testing.subject import Subject

OWNER: Final = "check_loads_every_head"
ROUNDING: Final = 0.2
"""Largest distance of a stored weight from the file's, relative to its length; nf4's is 0.1."""
COMPUTING: Final = 0.1
"""Largest distance of answers in the loader's precision from those of its own weights as floats."""


def check_loads_every_head(subject: Subject) -> None:
    """It loads a model of each family with each head, in evaluation mode, and its tokenizer.

    ``adapterhub_lite.transformer.load_transformer`` does; new layers are named in LoadedBase.new.
    """
    for place in _places(subject):
        base = _loaded(subject, place)
        if base.model.training:
            raise CheckFailedError(f"{place} is in training mode", hint="return model.eval()")
        if base.head != place.head or base.path != base_folder(subject, place.family):
            raise CheckFailedError(f"{place}: LoadedBase has another head or path than asked for")
        batch = batch_of(base)
        if not bool(outputs(base.model, batch).isfinite().all()):
            raise CheckFailedError(f"{place} answers with numbers that are not finite")


def check_precision_is_as_declared(subject: Subject) -> None:
    """LoadedBase.quantised is what the spec says; without it, every weight is a float.

    The core refuses methods on quantised bases by the spec, and implementations ask LoadedBase.
    """
    declared = _spec(subject).quantised
    for place in _places(subject):
        base = _given(subject, place)
        if base.quantised != declared:
            raise CheckFailedError(
                f"the spec says quantised={declared}, and LoadedBase quantised={base.quantised}"
            )
        integers = [n for n, v in base.model.named_parameters() if not v.is_floating_point()]
        if integers and not declared:
            raise CheckFailedError(f"{integers[0]!r} is stored as integers")
        if declared and not integers:
            raise CheckFailedError("it declares quantised, and every weight is a float")


def check_new_layers_learn(subject: Subject) -> None:
    """A head's new layers are in floating point, and a gradient reaches each of them.

    A layer in few bits cannot learn; leave the modules of LoadedBase.new as they are.
    """
    for place in _places(subject):
        base = _given(subject, place)
        new = [(name, value) for name, value in _new_parameters(base)]
        for name, value in new:
            if not value.is_floating_point():
                raise CheckFailedError(f"{place}: the new layer's {name!r} is {value.dtype}")
            value.requires_grad_(True)
        if not new:
            continue
        loss = loss_of(base.model, batch_of(base))
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        if not any(value.grad is not None for _, value in new):
            raise CheckFailedError(f"{place}: no gradient reaches the new layers")


def check_new_layers_come_from_the_seed(subject: Subject) -> None:
    """New layers are drawn from torch's global generator: the seed decides them.

    A run seeds it before it loads the base.
    """
    place = next((p for p in _places(subject) if _given(subject, p).new), None)
    if place is None:
        raise NotApplicableError("no head that it loads has layers of its own")
    first, again, other = (_drawn(subject, place, seed) for seed in (3, 3, 4))
    if not all(torch.equal(one, two) for one, two in zip(first, again, strict=True)):
        raise CheckFailedError(f"{place}: the same seed gives other new layers")
    if all(torch.equal(one, two) for one, two in zip(first, other, strict=True)):
        raise CheckFailedError(f"{place}: another seed gives the same new layers")


def check_weights_are_the_files(subject: Subject) -> None:
    """Its weights, as floats, are those of the files but for rounding.

    Looked at through dequantise(), tensor by tensor.
    """
    for place in _places(subject):
        base = _given(subject, place)
        stored = dict(subject.implementation.dequantise(base).model.state_dict())
        files = load_file(base_folder(subject, place.family) / "model.safetensors")
        looked = 0
        for name, expected in files.items():
            found = _named(stored, name)
            if found is None or found.shape != expected.shape:
                continue
            looked += 1
            off = float((found.float() - expected).norm() / (expected.norm() or 1.0))
            if not off <= ROUNDING:
                raise CheckFailedError(
                    f"{place}: {name!r} differs by {off:.2g} of its length, more than {ROUNDING}"
                )
        if not looked:
            raise CheckFailedError(f"{place}: no tensor has a name of the files")


def check_dequantises_what_it_computes_with(subject: Subject) -> None:
    """dequantise() gives a model in float32 that answers as the loaded one, and keeps that one.

    An adapter is baked into it: the weights have to be those that the adapter saw.
    """
    for place in _places(subject):
        base = _given(subject, place)
        batch = batch_of(base)
        before = outputs(base.model, batch)
        exact = subject.implementation.dequantise(base)
        wrong = {v.dtype for v in exact.model.parameters()} - {torch.float32}
        if exact.quantised or wrong:
            raise CheckFailedError(f"{place}: dequantised it has {wrong or 'quantised=True'}")
        off = distance(before, outputs(exact.model, batch))
        if not off <= COMPUTING:
            raise CheckFailedError(
                f"{place}: answers of the dequantised model differ by {off:.2g} of the largest, "
                f"more than {COMPUTING}"
            )
        if not torch.equal(before, outputs(base.model, batch)):
            raise CheckFailedError(f"{place}: dequantise() changed the loaded base")


def check_memory_is_as_declared(subject: Subject) -> None:
    """A linear layer's weights take the bytes_per_parameter that the spec says.

    A plan's memory estimate is made of it. Scales and other state count too.
    """
    spec = _spec(subject)
    base = _given(subject, _places(subject)[0])
    sizes = [
        _bytes_of(module)
        for name, module in base.model.named_modules()
        if _is_body(name, module, base)
    ]
    if not sizes:
        raise NotApplicableError("it has no linear layer by that name")
    found = sum(held for held, _ in sizes) / sum(count for _, count in sizes)
    if not 0.8 * spec.bytes_per_parameter <= found <= 1.25 * spec.bytes_per_parameter:
        raise CheckFailedError(
            f"the spec says {spec.bytes_per_parameter} bytes a parameter, and {found:.2f} are taken"
        )


def check_absent_gpu_is_refused(subject: Subject) -> None:
    """Without a GPU, asking for one raises CapabilityError; so does a loader that needs one.

    ``adapterhub_lite.transformer.present_device`` does the first.
    """
    if torch.cuda.is_available():
        raise NotApplicableError("there is a GPU here")
    place = next(_all_places())
    devices = ("cuda", "cpu") if _spec(subject).needs_gpu else ("cuda",)
    for device in devices:
        try:
            _load(subject, place, device)
        except CapabilityError:
            continue
        except Exception as error:
            raise CheckFailedError(
                f"with the device {device!r} it raises {type(error).__name__}"
            ) from error
        raise CheckFailedError(f"without a GPU it loads with the device {device!r}")


def _spec(subject: Subject) -> LoaderSpec:
    return cast("LoaderSpec", subject.offer.spec)


def _all_places() -> Iterator[Place]:
    yield from (Place(family, kind) for family in MODELS for kind in HEADS[family])


def _places(subject: Subject) -> list[Place]:
    """Return where to load; one head with new layers and one without when quick."""
    if _spec(subject).needs_gpu and not torch.cuda.is_available():
        raise NotApplicableError("it needs a GPU, and there is none here")
    if subject.quick:
        return [Place("encoder", "sequence-classification"), Place("decoder", "causal-lm")]
    return list(_all_places())


def _load(subject: Subject, place: Place, device: str = "auto", seed: int = 0) -> LoadedBase:
    torch.manual_seed(seed)
    base: LoadedBase = subject.implementation.load(
        resolved_base(subject, place.family), place.head, subject.settled, device
    )
    return base


def _loaded(subject: Subject, place: Place) -> LoadedBase:
    return made_once(subject, ("loaded", place), lambda: _load(subject, place))


def _given(subject: Subject, place: Place) -> LoadedBase:
    return needed(_loaded, OWNER, subject, place)


def _new_parameters(base: LoadedBase) -> Iterator[tuple[str, torch.nn.Parameter]]:
    for module in base.new:
        for name, value in base.model.get_submodule(module).named_parameters():
            yield f"{module}.{name}", value


def _drawn(subject: Subject, place: Place, seed: int) -> list[torch.Tensor]:
    base = _load(subject, place, seed=seed)
    return [value.detach().clone() for name, value in _new_parameters(base) if "weight" in name]


def _named(stored: dict[str, torch.Tensor], name: str) -> torch.Tensor | None:
    """Find a tensor of the files, which a head may have given a beginning, or taken one away."""
    bare = name.partition(".")[2]
    ends = (key for key in stored if key.endswith(f".{name}") or key == bare)
    return stored.get(name, stored.get(next(ends, "")))


def _is_body(name: str, module: Any, base: LoadedBase) -> bool:
    linear = hasattr(module, "in_features") and hasattr(module, "out_features")
    outside = (*base.new, "pooler", "lm_head")
    return linear and not any(f".{part}" in f".{name}" for part in outside)


def _bytes_of(module: Any) -> tuple[int, int]:
    """Return what a linear layer's weight takes with its scales, and how many numbers it holds."""
    weight = module.weight
    state = getattr(weight, "quant_state", None) or getattr(weight, "SCB", None)
    held = weight.numel() * weight.element_size() + _state_bytes(state)
    return held, module.in_features * module.out_features


def _state_bytes(state: Any) -> int:
    if isinstance(state, torch.Tensor):
        return state.numel() * state.element_size()
    parts = [getattr(state, name, None) for name in ("absmax", "state2")]
    return sum(_state_bytes(part) for part in parts if part is not None)


CHECKS: Final = (
    check_loads_every_head,
    check_precision_is_as_declared,
    check_new_layers_learn,
    check_new_layers_come_from_the_seed,
    check_weights_are_the_files,
    check_dequantises_what_it_computes_with,
    check_memory_is_as_declared,
    check_absent_gpu_is_refused,
)
