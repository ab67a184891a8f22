"""What a strategy and its spec say of each other."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from adapterhub_lite.errors import CapabilityError, MergeError
from adapterhub_lite.merging.memory import split_params
from adapterhub_lite.plugins import one_line
from adapterhub_lite.testing.merge_checks.bench import (
    PARAMETERS,
    bench_of,
    merge_drawn,
    new_bench,
    spec_of,
    within,
)
from adapterhub_lite.testing.outcomes import CheckFailedError, NotApplicableError
from adapterhub_lite.testing.sharing import needed
from adapterhub_lite.testing.subject import Subject

CANCELLING: Final = (1.0, -1.0)
"""Weights whose sum is nothing to divide by."""


def check_offers_what_it_declares(subject: Subject) -> None:
    """The implementation has ``prepare`` where it declares "whole-model", and nothing uncalled.

    "low-rank" asks for ``merge_factors`` in place of ``merge``, "needs-data" for
    ``prepare_with_data``, and for "whole-model" beside it.
    """
    capabilities = spec_of(subject).capabilities
    data = "needs-data" in capabilities
    called = {
        "merge": "low-rank" not in capabilities,
        "merge_factors": "low-rank" in capabilities,
        "prepare": "whole-model" in capabilities and not data,
        "prepare_with_data": data,
    }
    for name, is_called in called.items():
        has = callable(getattr(subject.implementation, name, None))
        if has and not is_called:
            raise CheckFailedError(f"it has a method {name}, which the core would never call")
    if called["prepare"] and not callable(getattr(subject.implementation, "prepare", None)):
        raise CheckFailedError("it declares 'whole-model', and has no method prepare")
    if data and "whole-model" not in capabilities:
        raise CheckFailedError("it declares 'needs-data', and not 'whole-model'")


def check_parameter_names(subject: Subject) -> None:
    """The merge's parameters and each model's have no name in common.

    A name that a recipe writes once for all would be ambiguous: rename one of them.
    """
    spec = spec_of(subject)
    both = _names(spec.params) & _names(spec.model_params)
    if both:
        raise CheckFailedError(f"params and model_params both have {', '.join(sorted(both))}")


def check_check_returns_reasons(subject: Subject) -> None:
    """``check`` returns a sequence of sentences, none for the parameters of the case.

    A string on its own would be taken for one reason a letter: return a list.
    """
    spec = spec_of(subject)
    params, models = needed(_split, check_merges.__name__, subject, [{}] * within(spec, 3))
    reasons = subject.implementation.check(params, models)
    if not isinstance(reasons, list | tuple):
        raise CheckFailedError(f"check returned {type(reasons).__name__}, not a list of sentences")
    if reasons:
        raise CheckFailedError(
            f"check speaks against the parameters of the case: {reasons[0]}", hint=PARAMETERS
        )


def check_merges(subject: Subject) -> None:
    """With the parameters of the case a few small models, or updates, become one.

    What is raised is the strategy's own error; give params in adapterhub_conformance where the
    defaults do not do.
    """
    merge_drawn(new_bench(subject))


def check_weights_that_cancel(subject: Subject) -> None:
    """Weights that sum to zero are refused by ``check``, or give a finite result.

    Return a sentence from ``check`` where the strategy divides by the sum.
    """
    bench = bench_of(subject)
    if not bench.weighted or bench.models < 2:
        raise NotApplicableError("its models have no weights")
    count = within(bench.spec, 2)
    weights = (*CANCELLING, *[0.0] * (count - 2))
    try:
        found = bench.merge([bench.draw(1), bench.draw(2)], weights=weights)
    except (NotApplicableError, CapabilityError, MergeError):
        return  # refused, with a sentence
    if any(not bool(value.isfinite().all()) for value in found.values()):
        raise CheckFailedError("weights of 1 and -1 are let through, and the result is not finite")


def check_number_of_models(subject: Subject) -> None:
    """The least and the largest number of models that the spec allows can be merged.

    Set ``models`` of the spec to what the strategy takes.
    """
    bench = bench_of(subject)
    least, most = bench.spec.models
    for count in (least, most or least + 4):
        models = [bench.draw(seed) for seed in range(1, count + 1)]
        try:
            bench.merge(models)
        except NotApplicableError:
            continue  # refused with a sentence by its check
        except Exception as error:
            raise CheckFailedError(
                f"{count} model{'s' * (count != 1)} cannot be merged, which the spec allows: "
                f"{one_line(error)}"
            ) from error


def _split(subject: Subject, each: Sequence[Mapping[str, Any]]) -> tuple[Any, tuple[Any, ...]]:
    return split_params(spec_of(subject), subject.params, each)


def _names(model: Any) -> set[str]:
    return {info.alias or name for name, info in model.model_fields.items()}


CHECKS: Final = (
    check_offers_what_it_declares,
    check_parameter_names,
    check_check_returns_reasons,
    check_merges,
    check_weights_that_cancel,
    check_number_of_models,
)
