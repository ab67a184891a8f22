"""How often examples that nothing was learnt from go to their own member."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from adapterhub_lite_compositions.learnt import By, Floats, Numbers, choose_strength, learn

FOLDS: Final = 5
"""Into how many parts examples are divided, as far as each member has as many."""
CHANCE_Z: Final = 1.645
"""Standard deviations above chance that one in twenty rules without sense reaches."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Where held-out examples went: ``table`` is (members, members), a row a member's examples.

    ``unsure`` is the share of all that were left to the default, which the table counts as its.
    """

    table: Numbers
    folds: int
    unsure: float

    @property
    def shares(self) -> Floats:
        """The share of each member's examples that went to it (members,)."""
        found: Floats = self.table.diagonal() / self.table.sum(axis=1)
        return found

    @property
    def chance(self) -> float:
        """The mean of the shares for a rule that goes by nothing in the text."""
        return 1 / len(self.table)

    @property
    def no_better(self) -> bool:
        """Whether the mean of the shares may well be chance (one-sided, at 5 %)."""
        chance = self.chance
        deviation = np.sqrt((chance * (1 - chance) / self.table.sum(axis=1)).sum()) * chance
        return bool(self.shares.mean() <= chance + CHANCE_Z * deviation)

    def figures(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the figures as JSON values; rows and columns of the table are ``names``."""
        return {
            "share": float(self.shares.mean()),
            "chance": self.chance,
            "folds": self.folds,
            "members": dict(zip(names, self.shares.tolist(), strict=True)),
            "below_least": self.unsure,
            "confusion": self.table.tolist(),
        }


def hold_out(
    by: By, embeddings: Floats, owners: Numbers, c: float | None, least: float | None, default: int
) -> HeldOut:
    """Divide the examples, learn from all but one part, and see where the examples of that go.

    A router's C is chosen anew each time, where ``c`` is None.
    """
    from sklearn.model_selection import StratifiedKFold

    counts = np.bincount(owners)
    folds = min(FOLDS, int(counts.min()))
    chosen = np.empty(len(owners), dtype=np.int64)
    parts = StratifiedKFold(folds, shuffle=True, random_state=0)
    for train, held in parts.split(embeddings, owners):
        known, belong = embeddings[train], owners[train]
        strength = choose_strength(known, belong) if by == "router" and c is None else c
        chosen[held] = learn(by, known, belong, strength).choose(embeddings[held], least)
    unsure = chosen < 0
    table = np.zeros((len(counts), len(counts)), dtype=np.int64)
    np.add.at(table, (owners, np.where(unsure, default, chosen)), 1)
    return HeldOut(table, folds, float(unsure.mean()))
