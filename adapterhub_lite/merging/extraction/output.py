"""From an extraction to an adapter's content: what is saved whole, and what is refused."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import torch

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.merging.adapters.output import AdapterContent
from adapterhub_lite.merging.extraction.extract import Differences, Extraction
from adapterhub_lite.streaming.factors import no_change
from adapterhub_lite.streaming.sources import Source, read_finite
from adapterhub_lite.streaming.tying import is_vocabulary

Rest = Literal["refuse", "save", "omit"]
"""What happens to differences that are no linear layer's weight."""
SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Wording:
    """How the user says what becomes of the rest, for messages."""

    save: str
    omit: str


IN_COMMAND: Final = Wording("--save-rest", "--allow-rest")
IN_RECIPE: Final = Wording("output.rest: save", "output.rest: omit")


@dataclass(frozen=True, slots=True)
class BesideFactors:
    """What an adapter holds that is no factors.

    ``modules`` are saved whole; ``biases`` are tensors, with their names in the base, whose
    difference goes beside the factors of their layer.
    """

    modules: tuple[str, ...]
    biases: Mapping[str, str]


def beside_factors(
    found: Differences,
    finetuned: Source,
    rest: Rest,
    *,
    tied: bool = False,
    wording: Wording = IN_COMMAND,
) -> BesideFactors:
    """Decide what becomes of the tensors that have no factors.

    Modules that only the fine-tuned model has are saved whole. Of the other differences ``save``
    saves modules whole too, and the biases of linear layers beside their factors; ``omit`` leaves
    them as they are in the base. ``tied`` says that the output layer is the embeddings. Raises
    CapabilityError for differences under ``refuse``, and for those that cannot be saved.
    """
    if found.rest and rest == "refuse":
        first = ", ".join(sorted(found.rest)[:SHOWN])
        more = ", …" * (len(found.rest) > SHOWN)
        raise CapabilityError(
            f"{len(found.rest)} tensors differ that are no linear layer's weight ({first}{more})",
            hint=f"{wording.save} keeps them whole beside the factors, {wording.omit} leaves them "
            "out",
        )
    known = finetuned.tensors.keys() - set(found.new)
    saved = {_new_module(name, known) for name in found.new}
    biases: dict[str, str] = {}
    for name, other in found.rest.items() if rest == "save" else ():
        module, _, part = name.rpartition(".")
        if module in found.paired.layers and part == "bias":
            biases[name] = other
        else:
            _require_savable(name, module, finetuned.tensors, found, tied, wording)
            saved.add(module)
    return BesideFactors(tuple(sorted(saved)), biases)


def adapter_content(
    extraction: Extraction,
    finetuned: Source,
    base: Source,
    beside: BesideFactors,
    *,
    task_type: str | None = None,
    base_name: str | None = None,
) -> AdapterContent:
    """Return what is to be written of an extraction.

    A layer of which the bias alone differs has factors too, of no change: they carry it.
    """
    biases = {
        name.removesuffix(".bias"): _whole(finetuned, name) - _whole(base, other)
        for name, other in beside.biases.items()
    }
    factors = {module: found.factors for module, found in extraction.modules.items()}
    for module in biases.keys() - factors.keys():
        outputs = len(biases[module])
        size = finetuned.tensors[extraction.paired.layers[module][0]].size
        factors[module] = no_change((outputs, size // outputs))
    return AdapterContent(
        factors=factors,
        saved=_tensors_of(beside.modules, finetuned),
        saved_modules=beside.modules,
        biases=biases,
        transposed=bool(extraction.transposed),
        task_type=task_type,
        base=base_name,
    )


def left_out(extraction: Extraction, content: AdapterContent) -> list[str]:
    """Return the tensors that differ, and that the adapter does not hold."""
    held = {*content.saved, *(f"{module}.bias" for module in content.biases)}
    return [name for name in sorted(extraction.rest) if name not in held]


def _new_module(name: str, known: Iterable[str]) -> str:
    """Return the outermost module that holds a tensor and none that the base has."""
    parts = name.split(".")
    for length in range(1, len(parts)):
        module = ".".join(parts[:length])
        if not any(other.startswith(f"{module}.") for other in known):
            return module
    raise CapabilityError(
        f"{name!r} is new, in a module that the base has: an adapter cannot hold it",
        hint="is this the base that the model was trained from?",
    )


def _require_savable(
    name: str,
    module: str,
    tensors: Iterable[str],
    found: Differences,
    tied: bool,
    wording: Wording,
) -> None:
    """Refuse what PEFT cannot replace whole; raises CapabilityError."""
    hint = f"leave such differences out with {wording.omit}, or keep the whole model"
    inside = [
        other.removeprefix(f"{module}.") for other in tensors if other.startswith(f"{module}.")
    ]
    if not module or any("." in part for part in inside):
        raise CapabilityError(f"{name!r} is no module's own weight: it cannot be saved", hint=hint)
    if module in found.paired.layers:
        raise CapabilityError(f"{name!r} belongs to a module that has factors", hint=hint)
    if tied and is_vocabulary(name):
        raise CapabilityError(
            f"{name!r} is the output layer as well: PEFT would change only one of the two",
            hint=hint,
        )


def _tensors_of(modules: Iterable[str], source: Source) -> dict[str, torch.Tensor]:
    starts = tuple(f"{module}." for module in modules)
    return {
        name: _whole(source, name).view(shape.shape)
        for name, shape in sorted(source.tensors.items())
        if name.startswith(starts)
    }


def _whole(source: Source, name: str) -> torch.Tensor:
    return read_finite(source, name, 0, source.tensors[name].size)
