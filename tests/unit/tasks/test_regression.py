"""Regression: targets are standardised and come back in their own unit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adapterhub_lite.data.examples import Examples, ValuedText
from adapterhub_lite.testing import TINY_ROWS
from adapterhub_lite_tasks.inputs import text_encoder
from adapterhub_lite_tasks.params import RegressionParams
from adapterhub_lite_tasks.regression import Regression, RegressionLearner, Regressor
from adapterhub_lite_tasks.settings import RegressorSettings

VALUE = {"fruit": 1000.0, "music": 2000.0, "tool": 3500.0}


def rows_of(*items: ValuedText) -> Examples[ValuedText]:
    return Examples("valued-text", items, {})


ROWS = rows_of(*(ValuedText(text, VALUE[label]) for text, label in TINY_ROWS))
PAIRS = rows_of(*(ValuedText(text, VALUE[label], "the tool") for text, label in TINY_ROWS))


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "t5"])
@pytest.mark.parametrize("rows", [ROWS, PAIRS], ids=["texts", "pairs"])
def test_it_learns_in_the_targets_unit(
    train: Any, reload: Any, tmp_path: Path, model_type: str, rows: Examples[ValuedText]
) -> None:
    params = RegressionParams(epochs=12, learning_rate=3e-3)
    outcome, attached = train(Regression(), model_type, rows, params)
    scored = outcome.scorer.score(rows)
    assert ((scored.truth - scored.decision) ** 2).mean() < 0.8 * scored.truth.var()
    again = reload(Regression(), outcome, attached, tmp_path / "version")
    np.testing.assert_array_equal(again.score(rows).scores, scored.scores)
    assert again.predict(rows.inputs[:1])[0].value == pytest.approx(scored.decision[0], rel=1e-5)


def test_a_head_that_answers_nothing_foretells_the_mean(make_base: Any) -> None:
    base = make_base("bert", Regression().head(ROWS, RegressionParams()))
    torch.nn.init.zeros_(base.model.classifier.weight)
    settings = RegressorSettings(mean=2166.5, deviation=800.0, max_length=32)
    scorer = Regressor(base.model, text_encoder(base, 32), settings)
    assert scorer.values(["the apple", "a saw"]).tolist() == [2166.5, 2166.5]
    torch.nn.init.ones_(base.model.classifier.bias)
    assert scorer.values(["the apple"]).tolist() == [2966.5]


@pytest.mark.parametrize("error", ["mse", "mae", "huber"])
def test_the_loss_is_torchs_on_standardised_targets(make_base: Any, error: str) -> None:
    values = np.array([item.value for item in ROWS.items])
    base = make_base("bert", Regression().head(ROWS, RegressionParams()))
    settings = RegressorSettings(
        mean=float(values.mean()), deviation=float(values.std()), max_length=32
    )
    scorer = Regressor(base.model, text_encoder(base, 32), settings)
    learner = RegressionLearner(scorer, error)
    batch = learner.collate(learner.features(ROWS))
    targets = torch.tensor((values - values.mean()) / values.std(), dtype=torch.float32)
    outputs = torch.tensor((scorer.values(ROWS.inputs) - values.mean()) / values.std()).float()
    theirs = {"mse": torch.nn.MSELoss, "mae": torch.nn.L1Loss, "huber": torch.nn.HuberLoss}
    mean = learner.loss(base.model, batch) / learner.units(batch)
    torch.testing.assert_close(mean, theirs[error]()(outputs, targets), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("values", [[1.0, 1.0], [1.0, float("nan")], [3.0]])
def test_targets_that_cannot_be_standardised_are_refused(values: list[float]) -> None:
    rows = rows_of(*(ValuedText("the", value) for value in values))
    assert Regression().check(rows, RegressionParams())
