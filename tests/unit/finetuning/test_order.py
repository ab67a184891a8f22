"""Which features come when."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite.errors import RecipeError
from adapterhub_lite.finetuning.loop import fit
from adapterhub_lite.finetuning.order import DataOrder, make_order
from adapterhub_lite.finetuning.params import TrainerParams
from adapterhub_lite.finetuning.settings import refuse_settings
from adapterhub_lite.protocols import TrainingData
from tests.unit.finetuning.conftest import Points, RunOf, network, rows, training

SOURCES = ("big",) * 160 + ("mid",) * 40 + ("tiny",) * 10


def _order(data: TrainingData, weights: list[float] | None = None, **params: Any) -> DataOrder:
    features = Points(lengths=lambda row: row * 7 % 13).features(data.train)
    return make_order(features, data, TrainerParams(**params), 3, weights)


def _drawn(order: DataOrder, epoch: int) -> list[int]:
    steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
    return [int(i) for step in steps for i in order.step(step)]


@given(st.integers(1, 60), st.integers(1, 9), st.booleans(), st.integers(0, 3))
def test_an_epoch_takes_every_feature_once(
    count: int, size: int, group_by_length: bool, epoch: int
) -> None:
    order = _order(training(count), batch_size=size, group_by_length=group_by_length)
    assert sorted(_drawn(order, epoch)) == list(range(count))


def test_epochs_differ_and_depend_on_nothing_drawn_before() -> None:
    one, other = _order(training(50)), _order(training(50))
    third = _drawn(one, 3)
    assert _drawn(one, 0) != third
    assert _drawn(other, 3) == third


@given(st.lists(st.floats(0.01, 10), min_size=2, max_size=50), st.integers(0, 3))
def test_rows_are_drawn_in_proportion_to_their_weights(weights: list[float], epoch: int) -> None:
    order = _order(training(len(weights)), weights)
    counts = Counter(_drawn(order, epoch))
    assert sum(counts.values()) == len(weights)
    for row, weight in enumerate(weights):
        expected = len(weights) * weight / sum(weights)
        assert abs(counts[row] - expected) < 1 + 1e-6


def test_a_row_without_weight_never_comes() -> None:
    order = _order(training(30), [0.0, 1.0, 2.0] * 10)
    assert all(row % 3 for epoch in range(5) for row in _drawn(order, epoch))


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0, 1000.0])
def test_temperature_mixes_by_size_to_its_inverse(temperature: float) -> None:
    data = training(len(SOURCES), sources=SOURCES)
    order = _order(data, temperature=temperature)
    powers = {name: count ** (1 / temperature) for name, count in Counter(SOURCES).items()}
    for epoch in range(3):
        drawn = [SOURCES[row] for row in _drawn(order, epoch)]
        counts = Counter(drawn)
        assert sorted(drawn) != drawn
        for name, power in powers.items():
            expected = len(SOURCES) * power / sum(powers.values())
            assert abs(counts[name] - expected) <= 1


def test_shares_are_kept_beside_row_weights() -> None:
    data = training(len(SOURCES), sources=SOURCES)
    heavy = [3.0 if row % 2 else 1.0 for row in range(len(SOURCES))]
    order = _order(data, heavy, shares={"tiny": 1, "mid": 1, "big": 2})
    drawn = [row for epoch in range(20) for row in _drawn(order, epoch)]
    shares = {name: n / len(drawn) for name, n in Counter(SOURCES[r] for r in drawn).items()}
    assert shares == pytest.approx({"tiny": 0.25, "mid": 0.25, "big": 0.5}, abs=0.01)
    odd = np.mean([row % 2 for row in drawn if SOURCES[row] == "big"])
    assert odd == pytest.approx(0.75, abs=0.02)


def test_curriculum_goes_from_easy_to_hard_once() -> None:
    scores = [float(row * 17 % 31) for row in range(31)]
    data = TrainingData(rows(31, hardness=scores))
    order = _order(data, curriculum="hardness")
    assert [scores[row] for row in _drawn(order, 0)] == sorted(scores)
    second = [scores[row] for row in _drawn(order, 1)]
    assert second != sorted(second)
    assert sorted(second) == sorted(scores)


def test_curriculum_by_length_shuffles_what_is_equally_long(run_of: RunOf) -> None:
    learner = Points(lengths=lambda row: 1 + row % 3)
    params = TrainerParams(epochs=1, curriculum="length", batch_size=4)
    fit(network(), learner, training(60), params, run_of())
    assert [row % 3 for row in learner.seen] == [0] * 20 + [1] * 20 + [2] * 20
    assert learner.seen[:20] != sorted(learner.seen[:20])


def test_groups_pad_less_than_a_shuffle_and_begin_with_the_longest() -> None:
    def padded(order: DataOrder) -> int:
        steps = [order.lengths[order.step(i)] for i in range(order.steps_per_epoch)]
        return int(sum(lengths.max() * len(lengths) for lengths in steps))

    grouped = _order(training(500), group_by_length=True, batch_size=5)
    shuffled = _order(training(500), batch_size=5)
    assert padded(grouped) < 1.05 * grouped.lengths.sum() < padded(shuffled)
    assert grouped.lengths[grouped.step(0)].max() == grouped.lengths.max()


def _order_as_a_run_makes_it(data: TrainingData, **params: Any) -> DataOrder:
    refuse_settings(TrainerParams(**params), data)
    return _order(data, **params)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"curriculum": "hardness"}, "no column 'hardness'"),
        ({"curriculum": "level"}, "row 2 has 'hard' as 'level'"),
        ({"temperature": 2}, "temperature mixes several data sets, and there is one"),
        ({"shares": {"a": 1}}, "shares mixes several data sets, and there is one"),
    ],
)
def test_refuses_what_the_rows_do_not_have(params: dict[str, Any], message: str) -> None:
    data = TrainingData(rows(3, level=[1, "hard", None]))
    with pytest.raises(RecipeError, match=message) as caught:
        _order_as_a_run_makes_it(data, **params)
    assert caught.value.field == f"objective.{next(iter(params))}"


def test_refuses_shares_that_leave_a_data_set_out() -> None:
    with pytest.raises(RecipeError, match="given for big; the data sets are big, mid, tiny"):
        _order_as_a_run_makes_it(training(len(SOURCES), sources=SOURCES), shares={"big": 1})
