"""A version is loaded in another precision than it was trained in, or refused with the reason."""

import json
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from adapterhub_lite import api
from adapterhub_lite.cli.root import cli
from adapterhub_lite.errors import CapabilityError, UnknownNameError
from adapterhub_lite.inference.fleet import Fleet
from adapterhub_lite.plugins import get_catalogue
from tests.unit.inference.conftest import Publish

TEXTS = ["the choir sang", "a ripe pear", "the hammer fell"]
UNQUANTISED = "loha"
"""A method that takes no quantised base."""


def of_the_base(predictor: Any) -> torch.nn.Module:
    """Return a layer of the base inside a predictor."""
    modules = dict(predictor.scorer.model.named_modules())
    name = next(name for name in modules if name.endswith("layer.0.output.dense"))
    layer = modules[name]
    return getattr(layer, "base_layer", layer)


def probabilities(predictor: Any) -> torch.Tensor:
    return torch.as_tensor(predictor.predict_proba(TEXTS))


@pytest.mark.parametrize("method", ["lora", "full"])
def test_sixteen_bits_answer_nearly_as_thirty_two(publish: Publish, method: str) -> None:
    ref = publish("a", method)
    exact, halved = api.load(ref), api.load(ref, loader="bf16")
    assert of_the_base(exact).weight.dtype == torch.float32
    assert of_the_base(halved).weight.dtype == torch.bfloat16
    difference = (probabilities(exact) - probabilities(halved)).abs().max()
    assert 0 < difference < 0.05


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_base_is_quantised(publish: Publish, method: str) -> None:
    found = api.load(publish("a", method), loader="nf4")
    assert type(of_the_base(found)).__name__ == "Linear4bit"
    assert probabilities(found).isfinite().all()


def test_a_fleet_loads_all_so(publish: Publish) -> None:
    refs = [publish("a"), publish("b", "full")]
    found = Fleet(api.open_registry(), get_catalogue(), loader="bf16")
    for ref in refs:
        assert of_the_base(found.predictor(ref)).weight.dtype == torch.bfloat16
        alone = api.load(ref, loader="bf16")
        assert torch.allclose(probabilities(found.predictor(ref)), probabilities(alone), atol=2e-2)


def test_a_method_that_takes_no_quantised_base_is_refused(publish: Publish) -> None:
    assert "quantised-base" not in get_catalogue().method(UNQUANTISED).capabilities
    ref = publish("a", UNQUANTISED)
    assert api.load(ref, loader="bf16").predict(TEXTS)
    with pytest.raises(CapabilityError, match="quantises the base") as refused:
        api.load(ref, loader="nf4")
    assert "bf16" in str(refused.value.hint)


def test_a_composition_is_refused(publish: Publish) -> None:
    members = [publish("a"), publish("b")]
    api.compose({"composition": "switch", "members": members, "publish": "either"})
    with pytest.raises(CapabilityError, match="either@1 is a composition"):
        api.load("either", loader="bf16")


def test_a_misspelt_loader_gets_the_nearest(publish: Publish) -> None:
    with pytest.raises(UnknownNameError) as refused:
        api.load(publish("a"), loader="bf61")
    assert refused.value.nearest == "bf16"


def test_the_command_line_takes_it(publish: Publish) -> None:
    publish("a")
    done = CliRunner().invoke(cli, ["predict", "a", *TEXTS, "--loader", "bf16", "--json"])
    assert done.exit_code == 0, done.output
    answered = [row["score"] for row in json.loads(done.output)]
    alone = probabilities(api.load("a", loader="bf16")).max(dim=-1).values
    assert answered == pytest.approx(alone.tolist())
    refused = CliRunner().invoke(cli, ["predict", "a", *TEXTS, "--loader", "bf61"])
    assert isinstance(refused.exception, UnknownNameError)
