"""What a spec may offer beside training: adopting a model, showing rows beforehand."""

from importlib import import_module
from typing import Final

from adapterhub_lite.testing.models import base_folder
from adapterhub_lite.testing.numbers import flat
from adapterhub_lite.testing.objectives.workbench import (
    Listening,
    families_of,
    head_of,
    load_base,
    spec_of,
)
from adapterhub_lite.testing.outcomes import CheckFailedError, NotApplicableError
from adapterhub_lite.testing.rows import rows_of
from adapterhub_lite.testing.subject import Subject
from adapterhub_lite.transformer import empty_model, load_tokenizer


def check_adopts(subject: Subject) -> None:
    """Declaring adopts, a model that was trained elsewhere answers, without rows.

    An import ends with adopt(): what it needs comes from the head and the parameters.
    """
    if not spec_of(subject).adopts:
        raise NotApplicableError("it does not declare adopts")
    import numpy as np

    base = load_base(subject, families_of(subject)[0])
    scorer = subject.implementation.adopt(base, subject.settled)
    rows = rows_of(spec_of(subject).rows)
    if not np.isfinite(flat(scorer.score(rows).scores)).all():
        raise CheckFailedError("an adopted model's scores are not finite")


def check_preview_shows_what_is_learnt(subject: Subject) -> None:
    """The preview tokenises every row without weights, and says what of it is learnt.

    Each sample has ids of the tokenizer, and as many flags and labels as ids, or none.
    """
    where = spec_of(subject).preview
    if not where:
        raise NotApplicableError("its spec names no preview")
    module, _, name = where.partition(":")
    family = families_of(subject)[0]
    base = empty_model(base_folder(subject, family), head_of(subject))
    base.tokenizer = load_tokenizer(base_folder(subject, family))
    rows = rows_of(spec_of(subject).rows)
    preview = getattr(import_module(module), name)
    samples = preview(base, rows, subject.settled, Listening(subject.folder))
    if not samples:
        raise CheckFailedError(f"of {len(rows)} rows nothing is shown")
    for sample in samples:
        wrong = [i for i in sample.ids if not 0 <= i < len(base.tokenizer)]
        if wrong or not 0 <= sample.row < len(rows):
            raise CheckFailedError(f"a sample of row {sample.row} has the ids {sample.ids}")
        for what in ("learnt", "labels"):
            found = getattr(sample, what)
            if found and len(found) != len(sample.ids):
                raise CheckFailedError(
                    f"row {sample.row} has {len(sample.ids)} tokens and {len(found)} {what}"
                )


CHECKS: Final = (check_adopts, check_preview_shows_what_is_learnt)
