"""What adapters trained whole beside their factors, mostly heads, becomes one by rule."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from adapterhub_lite.errors import MergeError, RecipeError
from adapterhub_lite.merging.adapters.files import LoraFolder

HINT = "say which: heads: average, omit, or `keep REF`"


@dataclass(frozen=True, slots=True)
class Heads:
    """The merged tensors, the modules they belong to, and whose they are, by number.

    ``keeper`` is None for an average, and where there is nothing to keep.
    """

    saved: Mapping[str, torch.Tensor]
    modules: tuple[str, ...]
    keeper: int | None


def merge_heads(adapters: Sequence[LoraFolder], rule: str) -> Heads:
    """Merge what was trained whole: ``refuse``, ``average``, ``omit`` or ``keep LABEL``.

    Where all have the same, every rule but ``omit`` gives that. An average is of equal weights.
    Raises MergeError when they differ and the rule is ``refuse``, or shapes do not allow an
    average, and RecipeError for another rule.
    """
    if rule == "omit":
        return Heads({}, (), None)
    if rule.startswith("keep "):
        return _kept(adapters, rule.removeprefix("keep ").strip())
    if rule not in ("refuse", "average"):
        raise RecipeError(f"{rule!r} is no rule for heads", field="heads", hint=HINT)
    first = adapters[0]
    for other in adapters[1:]:
        name = _difference(first, other)
        if name is None:
            continue
        if rule == "refuse":
            raise MergeError(
                f"{name!r} was trained whole, and differs between {first.label} and {other.label}",
                tensor=name,
                hint=HINT,
            )
        _require_alike(first, other)
    # the mean of equal numbers is not always that number, so one of them is taken
    alike = all(_difference(first, other) is None for other in adapters[1:])
    if alike:
        return Heads(first.saved, saved_modules(first), 0)
    saved = {
        name: torch.stack([adapter.saved[name].double() for adapter in adapters]).mean(0).float()
        for name in first.saved
    }
    return Heads(saved, saved_modules(first), None)


def saved_modules(adapter: LoraFolder) -> tuple[str, ...]:
    """Return the modules that an adapter replaces whole, as its config calls them.

    PEFT lists some that a base does not have; those without tensors are left out.
    """
    listed = adapter.config.get("modules_to_save") or ()
    return tuple(
        name for name in listed if any(f".{name}." in f".{tensor}" for tensor in adapter.saved)
    )


def _kept(adapters: Sequence[LoraFolder], label: str) -> Heads:
    for number, adapter in enumerate(adapters):
        if label in (adapter.label, str(number + 1)):
            return Heads(adapter.saved, saved_modules(adapter), number)
    labels = ", ".join(adapter.label for adapter in adapters)
    raise RecipeError(
        f"heads: keep {label} names none of the adapters", field="heads", hint=f"they are: {labels}"
    )


def _difference(first: LoraFolder, other: LoraFolder) -> str | None:
    """Return the first tensor in which two adapters differ."""
    if lacking := sorted(first.saved.keys() ^ other.saved.keys()):
        return lacking[0]
    return next(
        (name for name in sorted(first.saved) if not first.saved[name].equal(other.saved[name])),
        None,
    )


def _require_alike(first: LoraFolder, other: LoraFolder) -> None:
    lacking = sorted(first.saved.keys() ^ other.saved.keys())
    shapes = {name: values.shape for name, values in first.saved.items()}
    different = [name for name in other.saved if shapes.get(name) != other.saved[name].shape]
    if lacking or different:
        name = (lacking or different)[0]
        raise MergeError(
            f"{name!r} cannot be averaged: {first.label} and {other.label} do not both have it in "
            "the same shape",
            tensor=name,
            hint="keep one of them: heads: keep REF",
        )
