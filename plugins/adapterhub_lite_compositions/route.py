"""Each input goes to one member: by the words in it, or by what was learnt of examples."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from threadpoolctl import threadpool_limits

from adapterhub_lite.data.hashing import rank
from adapterhub_lite.errors import IntegrityError
from adapterhub_lite.pooling import Pooling
from adapterhub_lite.protocols import Interface, Learnt, Members, Scorer
from adapterhub_lite_compositions.embedding import TextEmbedder, pooling_of
from adapterhub_lite_compositions.heldout import HeldOut, hold_out
from adapterhub_lite_compositions.learnt import choose_strength, learn
from adapterhub_lite_compositions.routed import routed
from adapterhub_lite_compositions.rules import Rule, by_words, text_of
from adapterhub_lite_compositions.stored import Stored, read_route, write_route

if TYPE_CHECKING:
    from adapterhub_lite_compositions import RouteParams

MAX_LENGTH: Final = 128
"""Tokens of an input that a learnt rule reads."""
MOST_EXAMPLES: Final = 500
"""Examples of a member that are learnt from."""
LEAST_EXAMPLES: Final = 2
"""Examples of a member without which none can be held out."""


class Route:
    """Asks one member, and the one named as head where none is meant."""

    def check(self, members: Members, params: "RouteParams") -> Sequence[str]:
        """Return what speaks against members that are chosen between input by input."""
        first = members.all[0]
        if first.task == "sentence-similarity":
            return ["embeddings of different adapters cannot be compared with each other"]
        for member in members.all:
            if (member.task, member.rows) != (first.task, first.rows):
                return [f"{first.name} does {first.task} and {member.name} {member.task}"]
            if member.head.problem != first.head.problem:
                return [f"texts have one label in {first.name} or {member.name}, and several not"]
        if params.by != "words":
            named = [m.name for m in members.all if m.params.words]
            return [f"{named[0]} has words, and they are asked by {params.by}"] if named else []
        silent = [m.name for m in members.all if not m.params.words and m.name != members.head]
        return [f"{silent[0]} has no words, and would never be asked"] if silent else []

    def interface(self, members: Members, params: "RouteParams") -> Interface:
        """Return what the members are asked, and every label of any of them."""
        first = members.all[0]
        labels = dict.fromkeys(label for member in members.all for label in member.head.labels)
        return Interface(
            task=first.task,
            rows=first.rows,
            pairs=all(member.pairs for member in members.all),
            head=replace(first.head, labels=tuple(labels)),
        )

    def needs_examples(self, params: "RouteParams") -> bool:
        """Words are said, and the rest is learnt."""
        return params.by != "words"

    def check_examples(
        self, examples: Mapping[str, Sequence[Any]], params: "RouteParams"
    ) -> Sequence[str]:
        """Refuse members of whose examples none could be held out."""
        for name, inputs in examples.items():
            found = len(_texts(inputs, params))
            if found < LEAST_EXAMPLES:
                return [f"{name} has {found} different texts, and {LEAST_EXAMPLES} are needed"]
        return []

    def fit(
        self,
        members: Members,
        examples: Mapping[str, Sequence[Any]],
        params: "RouteParams",
        folder: Path,
    ) -> Learnt:
        """Embed the examples by the base alone, learn from all, and hold some out to judge by."""
        assert params.by != "words", "words are not learnt"
        base = members.bare()
        length = params.max_length or MAX_LENGTH
        embedder = TextEmbedder(base, pooling_of(base.path), length)
        names = [member.name for member in members.all]
        texts = [_texts(examples[name], params) for name in names]
        embeddings = embedder.embed([text for own in texts for text in own])
        owners = np.repeat(np.arange(len(names)), [len(own) for own in texts])
        default, c = _default(members), params.c
        # one BLAS thread: these products are small, and their sums do not depend on the machine
        with threadpool_limits(limits=1, user_api="blas"):
            held = hold_out(params.by, embeddings, owners, c, params.least, default)
            if params.by == "router" and c is None:
                c = choose_strength(embeddings, owners)
            chooser = learn(params.by, embeddings, owners, c)
        stored = Stored(
            by=params.by,
            members=names,
            width=embedder.width,
            pooling=embedder.pooling.mode,
            max_length=length,
        )
        write_route(stored, chooser, folder)
        figures = {
            "examples": {name: len(own) for name, own in zip(names, texts, strict=True)},
            "pooling": stored.pooling,
            **({"c": c} if c is not None else {}),
            "held_out": held.figures(names),
        }
        return _told(held, names, default, figures)

    def load(self, members: Members, params: "RouteParams") -> Scorer:
        """Load all members, and return what sends each input to one.

        Raises IntegrityError when what was learnt does not fit the members or their base.
        """
        rule = _rule(members, params)
        return routed([members.scorer(member) for member in members.all], rule)


def _texts(inputs: Sequence[Any], params: "RouteParams") -> list[str]:
    """Return the different texts that are learnt from; the draw goes by the texts alone."""
    texts = {text for item in inputs if (text := text_of(item)).strip()}
    most = params.most_examples or MOST_EXAMPLES
    return sorted(texts, key=lambda text: rank("route-examples", 0, text))[:most]


def _default(members: Members) -> int:
    return [member.name for member in members.all].index(str(members.head))


def _rule(members: Members, params: "RouteParams") -> Rule:
    default = _default(members)
    if params.by == "words":
        return by_words(members.all, default)
    if members.files is None:
        raise IntegrityError("the route has no folder with what it learnt")
    names = [member.name for member in members.all]
    stored, chooser = read_route(members.files, params.by, names)
    embedder = TextEmbedder(members.bare(), Pooling(stored.pooling), stored.max_length)
    if embedder.width != stored.width:
        raise IntegrityError(
            f"what the route learnt is for {stored.width} numbers a text, the base has "
            f"{embedder.width}"
        )

    def choose(inputs: Sequence[Any]) -> list[int]:
        embeddings = embedder.embed([text_of(item) for item in inputs])
        chosen = chooser.choose(embeddings, params.least)
        return [default if number < 0 else int(number) for number in chosen]

    return choose


def _told(held: HeldOut, names: Sequence[str], default: int, figures: Mapping[str, Any]) -> Learnt:
    """Say how often held-out examples went to their own member."""
    shares = ", ".join(f"{n} {s:.2f}" for n, s in zip(names, held.shares, strict=True))
    lines = [
        f"{held.shares.mean():.2f} of a member's held-out examples go to it "
        f"(by chance {held.chance:.2f}; {held.folds} folds): {shares}"
    ]
    if held.unsure:
        lines.append(f"{held.unsure:.2f} of all are below least, and left to {names[default]}")
    warnings = []
    if held.no_better:
        warnings.append(
            "the route is no better than chance: the base does not tell the members' examples "
            "apart, or they are too few"
        )
    table = [
        ["examples of", *(f"to {name}" for name in names)],
        *([name, *map(str, row)] for name, row in zip(names, held.table.tolist(), strict=True)),
    ]
    return Learnt(figures=figures, lines=lines, table=table, warnings=warnings)
