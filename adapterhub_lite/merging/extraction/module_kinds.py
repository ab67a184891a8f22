"""Which weights of a model are linear layers', told by transformers' own modules."""

from collections.abc import Mapping
from pathlib import Path

from adapterhub_lite.merging.extraction.extract import Kind, KindOf, kind_by_name
from adapterhub_lite.specs import Head
from adapterhub_lite.streaming.prefixes import find_prefix
from adapterhub_lite.transformer import empty_model


def kinds_of_model(folder: Path) -> KindOf:
    """Tell the weights of the model of a folder's config by their modules.

    What the bare transformer does not have, heads, is told by its name. Raises BaseModelError or
    CapabilityError for a config that transformers has no model for.
    """
    return told_by(bare_kinds(folder))


def bare_kinds(folder: Path) -> dict[str, Kind]:
    """Lay the transformer of a folder's config out, without weights or a head: kinds by name.

    Raises as :func:`kinds_of_model` does.
    """
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    skeleton = empty_model(folder, Head()).model
    kinds: dict[str, Kind] = {}
    for module_name, module in skeleton.named_modules():
        linear: Kind = "linear" if isinstance(module, Linear) else "other"
        kind: Kind = "transposed" if isinstance(module, Conv1D) else linear
        for parameter, _ in module.named_parameters(recurse=False):
            kinds[f"{module_name}.{parameter}"] = kind if parameter == "weight" else "other"
    return kinds


def told_by(kinds: Mapping[str, Kind]) -> KindOf:
    """Return what tells weights by the kinds of those that are known, and others by their names."""

    def kind_of(name: str, shape: tuple[int, ...]) -> Kind:
        # a model with a head calls the transformer's parts by another prefix
        known = find_prefix([name], kinds.keys()).renamed(name, kinds)
        return kinds[known] if known in kinds else kind_by_name(name, shape)

    return kind_of
