"""How the conformance kit checks the strategies: parameters that show what they do, exceptions."""

from collections.abc import Mapping
from typing import Any, Final

from adapterhub_lite.specs import ConformanceCase

ONE: Final = "check_one_model_is_returned"
ALIKE: Final = "check_identical_models_are_returned"


def _case(
    name: str,
    params: Mapping[str, Any] | None = None,
    *,
    one: str = "",
    alike: str = "",
) -> ConformanceCase:
    """Return a case; ``one`` and ``alike`` say why one model, or models alike, do not come back."""
    expected = {check: why for check, why in ((ONE, one), (ALIKE, alike)) if why}
    return ConformanceCase(
        kind="strategy", name=name, params=params or {}, expected_failures=expected
    )


def _sparse(name: str, why: str, **params: Any) -> ConformanceCase:
    """Return the case of a strategy that keeps a part of each task vector."""
    return _case(name, {"density": 0.5, **params}, one=why, alike=why)


LARGEST: Final = "at density 0.5 half of each task vector is left out"
DRAWN: Final = "at density 0.5 half of each task vector is dropped, at random"
SPECTRUM: Final = "all singular values are made equal"

CASES: Final = (
    _sparse("ties", LARGEST),
    _sparse("breadcrumbs", LARGEST),
    _sparse("breadcrumbs_ties", LARGEST),
    _sparse("dare_linear", DRAWN),
    _sparse("dare_ties", DRAWN),
    _sparse("della", DRAWN),
    _sparse("della_linear", DRAWN),
    _sparse("knots", LARGEST),
    _case("sce", {"select_topk": 0.5}, alike="what does not vary between models is left out"),
    _case("magmax", {"lambda": 1.0}),
    _case(
        "consensus_ta",
        {"mask_threshold": 0.4, "lambda": 0.5},
        alike="the sum of what all models need is added, times λ",
    ),
    _case(
        "pcb",
        {"density": 0.5},
        one="the entries that lose the competition are left out",
        alike="the entries that lose the competition are left out",
    ),
    _case("arcee_fusion", one="entries of little importance are not taken over"),
    _case("nearswap", {"t": 0.1}, one="the base moves by t at most"),
    _case("slerp", {"t": 0.3}, one="the result lies between the base and the model"),
    _case("expo", one="the result lies beyond the model"),
    _case(
        "lines",
        {"alpha": 0.5, "beta": 0.5},
        one="task vectors are scaled by depth",
        alike="task vectors are scaled by depth",
    ),
    _case("tsv", alike="each of three models gives a third of its directions"),
    _case("iso_c", one=SPECTRUM, alike=SPECTRUM),
    _case("iso_cts", one=SPECTRUM, alike=SPECTRUM),
    _case("wudi", {"iterations": 50}, alike="the steps begin at the sum, far from the mean"),
    _case("adamerging", {"steps": 2}),
)
