"""Rows of different adapters in one pass over their base."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.protocols import AdapterHost, HeldAdapter
from adapterhub_lite.testing.methods.composing import folders_of
from adapterhub_lite.testing.methods.workbench import (
    SAME,
    first_place,
    require,
    snapshot,
    sound_save,
)
from adapterhub_lite.testing.models import distance, fresh_base, outputs
from adapterhub_lite.testing.outcomes import CheckFailedError, NotApplicableError
from adapterhub_lite.testing.sharing import needed
from adapterhub_lite.testing.subject import Subject


def check_rows_share_a_pass(subject: Subject) -> None:
    """Declaring shared-pass, rows of different adapters are answered as each adapter does alone.

    host() holds adapters beside one another and writes to no weight of the base; its rows() answers
    row i by adapter i, and called with another number of rows raises CapabilityError. An adapter
    whose settings allow no shared pass is refused by add() with a CapabilityError.
    """
    require(subject, "shared-pass")
    place = first_place(subject)
    saved = needed(sound_save, "check_saves_and_loads", subject, place)
    batch = saved.trained.work.batch
    folders = folders_of(subject, saved, ("first", "second"))
    base = fresh_base(subject, place)
    before = snapshot(base.model)
    host: AdapterHost = subject.implementation.host(base)
    try:
        held = [host.add(place.head, folder) for folder in folders.values()]
    except CapabilityError as error:
        raise NotApplicableError(f"its adapters share no pass: {error.message}") from error
    alone = [
        outputs(subject.implementation.load(fresh_base(subject, place), folder).model, batch)
        for folder in folders.values()
    ]
    rows = len(batch["input_ids"])
    for owners in ([row % 2 for row in range(rows)], [0] * (rows - 1) + [1], [1] * rows):
        found = outputs(host.rows([held[owner] for owner in owners]), batch)
        expected = torch.stack([alone[owner][row] for row, owner in enumerate(owners)])
        off = distance(found, expected)
        if off > SAME:
            raise CheckFailedError(
                f"on {place} rows of the adapters {owners} differ by {off:.2g} of the largest from "
                "the rows of each alone"
            )
    _require_own_answers(held, alone, batch)
    _require_as_many_rows(host, held, batch)
    if changed := [n for n, v in snapshot(base.model).items() if not v.equal(before[n])]:
        raise CheckFailedError(f"on {place} host() changes the base's {changed[0]!r}")


def _require_own_answers(
    held: Sequence[HeldAdapter], alone: Sequence[torch.Tensor], batch: Mapping[str, torch.Tensor]
) -> None:
    """An adapter on the host answers all rows as it does on a base of its own."""
    for number, (adapter, expected) in enumerate(zip(held, alone, strict=True)):
        off = distance(outputs(adapter.model, batch), expected)
        if off > SAME:
            raise CheckFailedError(
                f"beside another the adapter {number} answers otherwise than alone, by {off:.2g}"
            )


def _require_as_many_rows(
    host: AdapterHost, held: Sequence[HeldAdapter], batch: Mapping[str, Any]
) -> None:
    rows = len(batch["input_ids"])
    for number in (1, rows - 1, rows + 1):
        owners = [held[row % 2] for row in range(number)]
        try:
            outputs(host.rows(owners), batch)
        except CapabilityError:
            continue
        raise CheckFailedError(
            f"{rows} rows of a batch are answered by {number} adapters, whoever they belong to"
        )


CHECKS: Final = (check_rows_share_a_pass,)
