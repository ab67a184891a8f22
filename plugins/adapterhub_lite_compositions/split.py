"""Adapters that share out a text's tokens."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch

from adapterhub_lite.protocols import AdapterMember, AdapterMembers, LoadedBase, SplitMethod
from adapterhub_lite.specs import Head
from adapterhub_lite.transformer import empty_model, load_tokenizer, positions
from adapterhub_lite_compositions import SplitParams
from adapterhub_lite_compositions.baked import taken_in_turn
from adapterhub_lite_compositions.members import folders_of, offering
from adapterhub_lite_compositions.spans import Choose, Spans, follow, owners_of, segments_of

BEYOND: Final = 8
"""How many tokens of the last member both models are asked with."""
PAIRS: Final = (["a heavy drill", "the"], ["that quiet flute is sweet", "rusty saw"])
"""First and second texts that both models are asked with."""


class Split:
    """Sends each token through one member; all attend to each other, and one head answers.

    AdapterHub calls it so, too: Poth et al., 2023.
    """

    def check(self, members: AdapterMembers, params: SplitParams) -> Sequence[str]:
        """Return what speaks against it."""
        if members.architecture.family == "encoder-decoder":
            return ["an encoder-decoder reads two sequences, and a split is of one"]
        told = _against_segments if params.by == "segment" else _against_tokens
        return told(members) or _method(members).check_split(folders_of(members))

    def load(self, members: AdapterMembers, params: SplitParams) -> LoadedBase:
        """Return the base with all of them on it, and the head of one."""
        answering = _answering(members)
        base = members.base(answering)
        follow(base.model.base_model, _choice(members, params))
        folders = folders_of(members)
        return _method(members).load_split(base, folders, answering.name, owners_of)

    def reference(self, members: AdapterMembers, params: SplitParams) -> LoadedBase | None:
        """Return a base of which each layer is computed with every member merged into it.

        Of what comes out each token takes its own member's.
        """
        return taken_in_turn(members, _choice(members, params))

    def probe(self, members: AdapterMembers, params: SplitParams) -> Mapping[str, Any]:
        """Return two rows in which every member has tokens; the second one is padded."""
        if params.by == "segment":
            encoded = load_tokenizer(_answering(members).folder)(
                *PAIRS, padding=True, return_tensors="pt"
            )
            return {name: encoded[name] for name in ("input_ids", "attention_mask")}
        bare, length = _bare(members), _taken(members) + BEYOND
        length = min(length, positions(bare) or length)
        words = bare.config.get_text_config().vocab_size
        generator = torch.Generator().manual_seed(0)
        mask = torch.ones(2, length, dtype=torch.long)
        mask[1, -1] = 0
        ids = torch.randint(0, words, (2, length), generator=generator)
        return {"input_ids": ids, "attention_mask": mask}


def _choice(members: AdapterMembers, params: SplitParams) -> Choose:
    if params.by == "segment":
        segments = segments_of(load_tokenizer(_answering(members).folder))
        assert segments is not None, "check() has looked at the tokenizer"
        return segments
    counts = [member.params.tokens for member in members.all[:-1]]
    return Spans(tuple(sum(counts[: number + 1]) for number in range(len(counts))))


def _against_segments(members: AdapterMembers) -> list[str]:
    objective = _answering(members).objective
    reads_pairs = objective.pairs and objective.task != "sentence-similarity"
    if len(members.all) != 2:
        return [f"a pair has two texts, and there are {len(members.all)} members"]
    if counted := [member.name for member in members.all if member.params.tokens is not None]:
        return [f"{counted[0]} is given a number of tokens, and by segment it has a whole text"]
    if not reads_pairs and objective.rows != "question":
        return [f"{objective.name} does not read two texts at once (by: tokens counts tokens)"]
    if segments_of(load_tokenizer(_answering(members).folder)) is None:
        return ["their tokenizer puts nothing between two texts (by: tokens counts tokens)"]
    return []


def _against_tokens(members: AdapterMembers) -> list[str]:
    *first, last = members.all
    if silent := [member.name for member in first if member.params.tokens is None]:
        return [f"{silent[0]} does not say how many tokens it takes (tokens: 64)"]
    if last.params.tokens is not None:
        return [f"{last.name} is the last, which takes the rest of a text: it has no tokens"]
    taken, longest = _taken(members), positions(_bare(members))
    if longest is not None and taken >= longest:
        return [
            f"the base reads {longest} tokens, of which the first members take {taken}: none are "
            f"left for {last.name}"
        ]
    return []


def _taken(members: AdapterMembers) -> int:
    """Return how many tokens stand before the last member's."""
    return sum(member.params.tokens for member in members.all[:-1])


def _bare(members: AdapterMembers) -> Any:
    """Return the members' transformer without weights."""
    return empty_model(members.architecture.folder, Head()).model


def _answering(members: AdapterMembers) -> AdapterMember:
    assert members.head is not None, "of one model, one member's head answers"
    return members.find(members.head)


def _method(members: AdapterMembers) -> SplitMethod:
    method: SplitMethod = offering(members, "per-token", ("check_split", "load_split"))
    return method
