"""What a fitted model answers, and that it comes back from its folder."""

import json
from typing import Final

import numpy as np

from adapterhub_lite.scoring import Scored
from adapterhub_lite.testing.asking import require_no_company, require_order
from adapterhub_lite.testing.files import require_plain_files
from adapterhub_lite.testing.models import MODELS, base_folder
from adapterhub_lite.testing.numbers import SAME, flat, score_difference
from adapterhub_lite.testing.objectives.workbench import (
    families_of,
    first_fit,
    reloaded,
    saved,
    spec_of,
)
from adapterhub_lite.testing.outcomes import CheckFailedError
from adapterhub_lite.testing.rows import inputs_of, rows_of
from adapterhub_lite.testing.sharing import needed
from adapterhub_lite.testing.subject import Subject

OWNER: Final = "check_saves_and_loads"


def check_scores_are_arrays(subject: Subject) -> None:
    """score() gives truth, decision and scores, one entry a row, and finite numbers.

    ``adapterhub_lite.scoring.Scored`` says what they are for each task; metrics read them.
    """
    rows = rows_of(spec_of(subject).rows)
    scored = first_fit(subject).outcome.scorer.score(rows)
    if not isinstance(scored, Scored):
        raise CheckFailedError(f"score() returns {type(scored).__name__}, not Scored")
    sizes = {name: len(getattr(scored, name)) for name in ("truth", "decision", "scores")}
    if set(sizes.values()) != {len(rows)}:
        raise CheckFailedError(f"of {len(rows)} rows there are {sizes}")
    if not np.isfinite(flat(scored.scores)).all():
        raise CheckFailedError("a score is not finite")


def check_answers_each_input_in_order(subject: Subject) -> None:
    """predict() gives one prediction for each input, in their order, and none for none.

    Sort by length inside if it helps, and put the answers back.
    """
    require_order(first_fit(subject).outcome.scorer, inputs_of(spec_of(subject)))


def check_company_does_not_matter(subject: Subject) -> None:
    """An input is answered alone as it is beside others.

    Otherwise padding is read, or something is normalised over the batch: give the model its mask.
    """
    needed(check_answers_each_input_in_order, "check_answers_each_input_in_order", subject)
    require_no_company(first_fit(subject).outcome.scorer, inputs_of(spec_of(subject)))


def check_predictions_can_be_shown(subject: Subject) -> None:
    """A prediction's record() is JSON, and its summary() a line of text.

    ``adapterhub_lite.predictions`` has one for each task.
    """
    for prediction in first_fit(subject).outcome.scorer.predict(inputs_of(spec_of(subject))[:2]):
        try:
            json.dumps(prediction.record(), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise CheckFailedError(f"record() is no JSON: {error}") from error
        if not isinstance(prediction.summary(), str) or "\n" in prediction.summary():
            raise CheckFailedError(f"summary() is no line of text: {prediction.summary()!r}")


def check_saves_and_loads(subject: Subject) -> None:
    """What was saved scores as what was fitted, when it is loaded into fresh objects.

    The method saves the model; save() adds what else scoring needs: thresholds, labels, lengths, a
    head of its own.
    """
    rows = rows_of(spec_of(subject).rows)
    for family in families_of(subject):
        kept = saved(subject, family)
        scorer = reloaded(subject, kept)
        trained = kept.fit.outcome.scorer
        if scorer.classes != trained.classes:
            raise CheckFailedError(
                f"on a {MODELS[family][0]} the labels were {trained.classes} and are "
                f"{scorer.classes}"
            )
        off = score_difference(trained.score(rows), scorer.score(rows))
        if off > SAME:
            raise CheckFailedError(
                f"on a {MODELS[family][0]} the reloaded scores differ by {off:.2g}, more than "
                f"{SAME:g}"
            )


def check_files_are_plain(subject: Subject) -> None:
    """The files are safetensors and JSON, beside the tokenizer's, and name no place.

    A pickle runs code when it is read; the registry takes none.
    """
    kept = needed(saved, OWNER, subject, families_of(subject)[0])
    require_plain_files(kept.folder, base_folder(subject, kept.fit.family))


CHECKS: Final = (
    check_scores_are_arrays,
    check_answers_each_input_in_order,
    check_company_does_not_matter,
    check_predictions_can_be_shown,
    check_saves_and_loads,
    check_files_are_plain,
)
