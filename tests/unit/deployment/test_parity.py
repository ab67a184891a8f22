"""What counts as the same answer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from adapterhub_lite.deployment.asking import PROBES, probe_inputs
from adapterhub_lite.deployment.parity import Answers, compare, require_parity
from adapterhub_lite.errors import SelfTestError
from adapterhub_lite.protocols import Tolerance

LOGITS = arrays(np.float64, (3,), elements=st.floats(-9, 9))


@given(LOGITS, st.floats(-5, 5))
def test_a_constant_in_the_logits_of_one_label_does_not_matter(
    logits: "np.ndarray[tuple[int], np.dtype[np.float64]]", constant: float
) -> None:
    found = compare(Answers("logits", (logits,)), [logits + constant], Tolerance(), "fp32")
    assert found.difference < 1e-12


def test_of_several_labels_each_logit_counts() -> None:
    version = Answers("logits", (np.array([1.0, -1.0]),), multi_label=True, threshold=0.0)
    shifted = compare(version, [np.array([1.5, -0.5])], Tolerance(difference=1.0), "fp32")
    assert (shifted.difference, shifted.agreement, shifted.holds) == (0.5, 1.0, True)
    turned = compare(version, [np.array([1.0, 0.1])], Tolerance(difference=9.0), "fp32")
    assert (turned.agreement, turned.holds) == (0.5, False)


def test_certainty_beyond_what_a_probability_shows_is_no_difference() -> None:
    version = Answers("logits", (np.array([np.inf, -40.0]),), multi_label=True)
    assert compare(version, [np.array([1000.0, -np.inf])], Tolerance(), "fp32").difference == 0


def test_the_tolerance_grows_with_the_numbers_and_with_the_bases_rounding() -> None:
    version = Answers("values", (np.array([1000.0]),))
    near, far = [np.array([1000.05])], [np.array([1010.0])]
    assert compare(version, near, Tolerance(difference=1e-4), "fp32").holds
    assert not compare(version, far, Tolerance(difference=1e-4), "fp32").holds
    assert compare(version, far, Tolerance(difference=1e-4), "nf4").holds


def test_embeddings_differ_by_the_length_between_them() -> None:
    version = Answers("embeddings", (np.array([1.0, 0.0]),))
    found = compare(version, [np.array([0.6, 0.8])], Tolerance(), "fp32")
    assert found.difference == pytest.approx(np.hypot(0.4, 0.8))
    assert found.agreement is None


@pytest.mark.parametrize("found", [[np.nan, 0.0], [0.0, np.nan], [1.0, 2.0, 3.0]])
def test_what_is_no_number_or_has_another_shape_is_never_the_same(found: list[float]) -> None:
    for version in (
        Answers("logits", (np.array([0.0, 0.0]),), multi_label=True),
        Answers("logits", (np.array([0.0, 0.0]),)),
        Answers("values", (np.array([0.0, 0.0]),)),
    ):
        parity = compare(version, [np.array(found)], Tolerance(difference=1e9), "fp32")
        assert not parity.holds
        with pytest.raises(SelfTestError, match="not what the version answers"):
            require_parity(parity, "onnx")


def test_a_row_that_is_right_does_not_hide_one_that_is_not() -> None:
    good, bad = np.zeros((2, 3)), np.full((2, 3), np.nan)
    for order in ([good, bad], [bad, good]):
        version = Answers("logits", (good, good))
        assert not compare(version, order, Tolerance(difference=1e9, agreement=0), "fp32").holds


def test_probes_have_the_form_of_the_rows() -> None:
    assert probe_inputs("document") == PROBES
    assert {len(pair) for pair in probe_inputs("question")} == {2}
    assert {len(pair) for pair in probe_inputs("labelled-text", pairs=True)} == {2}
