"""A plugin teaches an architecture that PEFT has no table for; the recipe goes before it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.specs import Head
from adapterhub_lite.testing import write_tiny_model
from adapterhub_lite.training.plan import Plan, make_plan
from adapterhub_lite.transformer import load_transformer

MODULES = {
    "query-value": ["q_lin", "v_lin"],
    "key-value": ["k_lin", "v_lin"],
    "attention-output": ["attention.out_lin"],
    "feed-forward-output": ("layer.*.ffn.lin2",),
}
"""A DistilBERT's, of which PEFT's tables know nothing."""


@pytest.fixture(scope="module")
def distilbert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("base") / "distil", "distilbert", hidden_dim=64)


def taught(lab: Any, modules: dict[str, Any] = MODULES) -> Catalogue:
    def target_modules(model_type: str, role: str) -> Any:
        return modules.get(role) if model_type == "distilbert" else None

    found: Catalogue = lab.catalogue_with(adapterhub_target_modules=target_modules)
    return found


def plan(lab: Any, base: Path, catalogue: Catalogue, **method: Any) -> Plan:
    return make_plan(lab.recipe(base=str(base), method=method), catalogue, lab.registry)


def adapted(made: Plan, catalogue: Catalogue) -> list[str]:
    """Return the modules that the plan's method adapts on the loaded base."""
    base = load_transformer(Path(made.base.path), Head(), torch.float32, "cpu")
    method = catalogue.implementation(made.method.spec)
    model = method.attach(base, made.method.params).model
    found = [name for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)]
    return sorted(name.removeprefix("base_model.model.transformer.layer.") for name in found)


def in_layers(*names: str, layers: Sequence[int] = (0, 1, 2)) -> list[str]:
    return sorted(f"{layer}.{name}" for layer in layers for name in names)


def test_lora_takes_what_a_plugin_knows(lab: Any, distilbert: Path) -> None:
    catalogue = taught(lab)
    made = plan(lab, distilbert, catalogue, name="lora", r=4)
    assert adapted(made, catalogue) == in_layers("attention.q_lin", "attention.v_lin")
    assert made.trainable == 3 * 2 * (4 * 32 + 32 * 4)
    before = plan(lab, distilbert, lab.catalogue, name="lora", r=4)
    assert len(adapted(before, catalogue)) == 3 * 6, "PEFT knows nothing: all linear layers"


def test_what_was_filled_in_stands_in_the_recipe(lab: Any, distilbert: Path) -> None:
    made = plan(lab, distilbert, taught(lab), name="lora")
    method = made.resolved_recipe()["method"]
    assert method["target_modules"] == ["q_lin", "v_lin"]
    again = plan(lab, distilbert, lab.catalogue, **method)
    assert again.method.params == made.method.params, "the same without the plugin"


def test_ia3_works_once_its_modules_are_known(lab: Any, distilbert: Path) -> None:
    with pytest.raises(CapabilityError, match="PEFT does not know which layers of a distilbert"):
        plan(lab, distilbert, lab.catalogue, name="ia3")
    catalogue = taught(lab)
    made = plan(lab, distilbert, catalogue, name="ia3")
    expected = in_layers("attention.k_lin", "attention.v_lin", "ffn.lin2")
    assert adapted(made, catalogue) == expected
    feed_forward = [f"layer.{n}.ffn.lin2" for n in range(3)]
    assert made.method.as_recipe()["feedforward_modules"] == feed_forward
    assert made.trainable == 3 * (32 + 32 + 64), "a factor for each key, value and inner activation"


def test_half_an_answer_is_none(lab: Any, distilbert: Path) -> None:
    catalogue = taught(lab, {"key-value": ["k_lin", "v_lin"]})
    with pytest.raises(CapabilityError, match="PEFT does not know"):
        plan(lab, distilbert, catalogue, name="ia3")


def test_one_of_two_lists_is_not_filled_in(lab: Any) -> None:
    modules = {"feed-forward-output": ["output.dense"]}
    catalogue = lab.catalogue_with(adapterhub_target_modules=lambda role: modules.get(role))
    method = plan(lab, lab.base, catalogue, name="ia3").method.as_recipe()
    assert (method["target_modules"], method["feedforward_modules"]) == (None, None)


@pytest.mark.parametrize(
    ("style", "modules"),
    [("pfeiffer", ["ffn.lin2"]), ("houlsby", ["attention.out_lin", "ffn.lin2"])],
)
@pytest.mark.parametrize("layers", [[0, 2], "all"])
def test_bottlenecks_take_the_roles_of_their_style(
    lab: Any, distilbert: Path, style: str, modules: list[str], layers: Any
) -> None:
    catalogue = taught(lab)
    made = plan(lab, distilbert, catalogue, name="bottleneck", style=style, layers=layers)
    chosen = range(3) if layers == "all" else layers
    assert adapted(made, catalogue) == in_layers(*modules, layers=chosen)
    assert made.method.as_recipe()["target_modules"][-1] == "layer.2.ffn.lin2"


def test_the_recipe_goes_before_the_plugin(lab: Any, distilbert: Path) -> None:
    made = plan(lab, distilbert, taught(lab), name="lora", target_modules=["k_lin"])
    assert made.method.as_recipe()["target_modules"] == ["k_lin"]


def test_the_plugin_goes_before_peft(lab: Any) -> None:
    catalogue = lab.catalogue_with(adapterhub_target_modules=lambda role: ["key"])
    made = plan(lab, lab.base, catalogue, name="lora")
    assert made.method.as_recipe()["target_modules"] == ["key"]


def test_other_architectures_and_methods_without_modules_are_left(lab: Any) -> None:
    catalogue = taught(lab)
    for method in ("lora", "prefix", "trainable-tokens", "none"):
        given = {"token_indices": [5]} if method == "trainable-tokens" else {}
        params = plan(lab, lab.base, catalogue, name=method, **given).method.as_recipe()
        assert not params.get("target_modules") or method == "trainable-tokens"


def test_modules_that_are_not_there_are_blamed_on_the_plugin(lab: Any, distilbert: Path) -> None:
    with pytest.raises(CapabilityError, match="target_modules names 'quary'") as caught:
        plan(lab, distilbert, taught(lab, {"query-value": ["quary"]}), name="lora")
    assert "an installed plugin named the modules" in caught.value.hint
    assert "method.target_modules" in caught.value.hint


@pytest.mark.parametrize("answer", ["q_lin", [], [3], [""], RuntimeError("boom")])
def test_a_plugin_that_misbehaves_is_logged_and_passed_over(
    lab: Any, distilbert: Path, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def target_modules(model_type: str) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    catalogue = lab.catalogue_with(adapterhub_target_modules=target_modules)
    made = plan(lab, distilbert, catalogue, name="lora")
    assert made.method.as_recipe()["target_modules"] is None
    assert "adapterhub_target_modules" in caplog.messages[0]
