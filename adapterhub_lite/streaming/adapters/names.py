"""Where in a base the tensors lie that an adapter names, and what the whole model calls them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.streaming.headers import TensorShape
from adapterhub_lite.streaming.naming import role_of
from adapterhub_lite.streaming.prefixes import Prefix, find_prefix
from adapterhub_lite.streaming.tying import (
    implied_output,
    input_embeddings,
    is_output_layer,
    may_be_tied,
)


@dataclass(frozen=True, slots=True)
class Names:
    """The model's names → the base's, and the change from the adapter's names to the model's.

    The model has the wider names: those of the adapter where it was trained on a model with a head,
    "bert.encoder…", and the base's files hold "encoder…". An output layer that is tied to the
    embeddings in the base has a name of its own here when the adapter tells the two apart;
    ``untied`` says so.
    """

    places: Mapping[str, str]
    prefix: Prefix
    untied: bool = False
    notices: tuple[str, ...] = ()

    def of(self, name: str) -> str:
        """Return the model's name of a tensor that the adapter speaks of."""
        if self.prefix.add and self.prefix.add + name in self.places:
            return self.prefix.add + name
        return name


def find_names(
    changed: Collection[str],
    own: Collection[str],
    base: Mapping[str, TensorShape],
    config: Mapping[str, Any],
    *,
    stays_tied: bool,
) -> Names:
    """Find the tensors that an adapter changes, or has of its own, in its base.

    ``config`` is the base's. ``stays_tied``: the adapter's output layer follows its embeddings.
    Raises CapabilityError for embeddings that an encoder and a decoder share.
    """
    prefix = find_prefix([*changed, *own], base.keys())
    places = {prefix.strip + name: name for name in base}
    names = Names(places, prefix)
    touched = {names.of(name) for name in (*changed, *own)}
    notices = []
    if prefix.strip:
        notices.append(f"the tensors of its base get {prefix.strip!r} before their names")
    new_head = _has_new_head(own, names)
    heads = _heads_of_base(touched, names) if new_head else []
    if heads:
        notices.append(f"it has a head of its own: that of its base ({heads[0]} …) is left out")
    kept = {name: place for name, place in places.items() if name not in heads}
    tied = _untied(kept, touched, base, config, stays_tied=stays_tied or new_head)
    if tied:
        notices.append(f"its output layer {next(iter(tied))!r} is no longer tied to its embeddings")
    return Names(kept | tied, prefix, bool(tied), tuple(notices))


def _has_new_head(own: Collection[str], names: Names) -> bool:
    """Say whether the adapter has a task's head; an output layer of its own is none."""
    new = [name for name in own if names.of(name) not in names.places]
    return any(role_of(name) == "head" and not is_output_layer(name) for name in new)


def _heads_of_base(touched: Collection[str], names: Names) -> list[str]:
    """Return the base's head, to which its pooler does not belong."""
    return [
        name
        for name in names.places
        if role_of(name) == "head" and "pooler" not in name.split(".") and name not in touched
    ]


def _untied(
    places: Mapping[str, str],
    touched: Collection[str],
    base: Mapping[str, TensorShape],
    config: Mapping[str, Any],
    *,
    stays_tied: bool,
) -> dict[str, str]:
    """Return the output layer and the base's embeddings in its place, where they part."""
    embeddings = input_embeddings(base)
    if embeddings is None or not may_be_tied(config):
        return {}
    outputs = [name for name in touched if is_output_layer(name) and name not in places]
    if outputs:
        return {outputs[0]: embeddings}
    changed = {places[name] for name in touched if name in places}
    if embeddings in changed and config.get("is_encoder_decoder"):
        raise CapabilityError(
            f"the adapter changes {embeddings!r}, which encoder, decoder and output layer share",
            hint="merge it with PEFT first (merge_and_unload), and give the merged model",
        )
    implied = implied_output(base.keys(), config)
    if embeddings in changed and implied and not stays_tied:
        return {implied: embeddings}
    return {}
