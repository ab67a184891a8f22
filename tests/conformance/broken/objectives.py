"""Objectives with one fault each: what is wrong, and which check has to say so."""

from dataclasses import replace
from typing import Any, Final

from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite_tasks.classification import Classification
from tests.conformance.broken.entries import Broken
from tests.conformance.broken.objective_faults import (
    CannotAdopt,
    Compares,
    DrawsElsewhere,
    ForgetsARow,
    GoesOn,
    GoesUphill,
    LosesATemperature,
    OtherLabels,
    Pickles,
    RefusesGood,
    ShowsSets,
    Sorts,
    TakesAll,
    TensorFigures,
    TrainsAll,
)


def _broken(
    fault: str, name: str, found: type, check: str, says: str, *also: str, **changes: Any
) -> Broken:
    spec = replace(
        get_catalogue(first_party_only=True).objective("classification"),
        name=name,
        summary="An objective with one fault.",
        implementation=f"{found.__module__}:{found.__name__}",
        **changes,
    )
    return Broken(
        fault=fault,
        kind="objective",
        spec=spec,
        check=check,
        says=says,
        params={"max_steps": 6, "batch_size": 64},
        also=also,
    )


BROKEN: Final = (
    _broken(
        "check() looks at no row",
        "takes-all",
        TakesAll,
        "check_bad_rows_are_refused",
        "nothing is said of 18 rows",
    ),
    _broken(
        "check() refuses good rows",
        "refuses-good",
        RefusesGood,
        "check_good_rows_are_taken",
        "1,000 rows",
    ),
    _broken(
        "head() gives the labels in another order",
        "other-labels",
        OtherLabels,
        "check_head_suits_the_rows",
        "and the head's",
    ),
    _broken(
        "a tensor is among the hyperparameters",
        "tensor-figures",
        TensorFigures,
        "check_fits",
        "no JSON",
    ),
    _broken(
        "gradients point the wrong way",
        "goes-uphill",
        GoesUphill,
        "check_loss_falls",
        "the loss was",
    ),
    _broken(
        "it trains what the method froze",
        "trains-all",
        TrainsAll,
        "check_only_what_is_trainable_changes",
        "frozen parameters changed",
    ),
    _broken(
        "noise comes from the operating system",
        "draws-elsewhere",
        DrawsElsewhere,
        "check_same_seed_same_answers",
        "the second time",
    ),
    _broken(
        "it keeps a model whose loss is NaN",
        "goes-on",
        GoesOn,
        "check_a_loss_that_is_not_finite_stops",
        "weights are NaN",
    ),
    _broken(
        "score() leaves a row out",
        "forgets-a-row",
        ForgetsARow,
        "check_scores_are_arrays",
        "of 18 rows there are",
    ),
    _broken(
        "predict() answers in the order of length",
        "sorts",
        Sorts,
        "check_answers_each_input_in_order",
        "asked in the other order",
    ),
    _broken(
        "probabilities are divided by the batch's largest",
        "compares",
        Compares,
        "check_company_does_not_matter",
        "and beside others",
    ),
    _broken(
        "a prediction's record holds a set",
        "shows-sets",
        ShowsSets,
        "check_predictions_can_be_shown",
        "record() is no JSON",
    ),
    _broken(
        "load() loses a temperature",
        "loses-a-temperature",
        LosesATemperature,
        "check_saves_and_loads",
        "the reloaded scores differ",
    ),
    _broken("save() writes a pickle", "pickles", Pickles, "check_files_are_plain", "'labels.pkl'"),
    _broken(
        "it declares adopts, and reads a file of a training",
        "cannot-adopt",
        CannotAdopt,
        "check_adopts",
        "FileNotFoundError",
    ),
    _broken(
        "the preview shows nothing",
        "shows-nothing",
        Classification,
        "check_preview_shows_what_is_learnt",
        "nothing is shown",
        preview="tests.conformance.broken.objective_faults:shows_nothing",
    ),
)
