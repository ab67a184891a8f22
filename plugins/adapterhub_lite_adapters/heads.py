"""The head that AdapterHub saves beside an adapter, where it is one that transformers has."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from pydantic import ConfigDict

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite_adapters.configs import Strict, Word, validated
from adapterhub_lite_adapters.translating import stranger


class _Settings(Strict):
    head_type: Word
    num_labels: int | None = None
    layers: int
    activation_function: Word | None = None
    label2id: dict[str, int] | None = None
    use_pooler: bool = False
    bias: Literal[True] = True
    dropout_prob: float | None = None
    multilabel: Literal[False] = False


class _HeadConfig(Strict):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    config: _Settings


_TANH: Final = (2, "tanh", False)
HEADS: Final[Mapping[tuple[str, int, str | None, bool], Mapping[str, str]]] = {
    ("bert", *_TANH): {"1": "bert.pooler.dense", "4": "classifier"},
    ("bert", 1, None, True): {"1": "classifier"},
    ("roberta", *_TANH): {"1": "classifier.dense", "4": "classifier.out_proj"},
    ("xlm-roberta", *_TANH): {"1": "classifier.dense", "4": "classifier.out_proj"},
    ("distilbert", 2, "relu", False): {"1": "pre_classifier", "4": "classifier"},
}
"""Model type, layers, activation between them, and whether the base's pooler comes first → which
modules of transformers' classifier the head's numbered layers are."""


@dataclass(frozen=True, slots=True)
class ForeignHead:
    """Transformers' names of a head's tensors for theirs, and the labels it tells."""

    names: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()


def translate_head(told: object, model_type: str, names: Mapping[str, object]) -> ForeignHead:
    """Find transformers' place of each of a head's tensors; raises CapabilityError without one."""
    config = validated(_HeadConfig, told).config
    activation = config.activation_function if config.layers > 1 else None
    modules = HEADS.get((model_type, config.layers, activation, config.use_pooler))
    if config.head_type != "classification" or modules is None:
        raise CapabilityError(
            f"the head ({config.head_type!r} on {model_type!r}) has no equal in transformers",
            hint="a classification head of two layers with tanh, on bert or roberta, has one",
        )
    ours = {}
    for name in names:
        number, _, end = name.rpartition(".")
        place = modules.get(number.rpartition(".")[2])
        if place is None or end not in ("weight", "bias"):
            raise stranger(name)
        ours[f"{place}.{end}"] = name
    return ForeignHead(ours, _labels(config))


def _labels(config: _Settings) -> tuple[str, ...]:
    """Return the labels by their numbers; none where the numbers are not those of the outputs."""
    told = config.label2id or {}
    if sorted(told.values()) != list(range(len(told))):
        return ()
    return tuple(sorted(told, key=told.__getitem__))
