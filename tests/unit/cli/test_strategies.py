"""``ahl strategies``: how models can be merged, and how each way is set."""

import json
from importlib.metadata import version
from typing import Any

import pytest
import yaml
from pydantic import Field

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.cli.strategy_output import example_recipe, example_text, model_count
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.recipes import validate
from adapterhub_lite.recipes.merge import MergeRecipe
from adapterhub_lite.specs import MERGE_CAPABILITIES, MergeSpec, Params

NAMES = get_catalogue(first_party_only=True).names("strategy")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return get_catalogue(first_party_only=True)


def test_a_list_has_a_line_for_each(ahl: Any, catalogue: Catalogue) -> None:
    done = ahl("strategies", "list", "--no-plugins")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    for name in NAMES:
        spec = catalogue.strategy(name)
        (line,) = [line for line in lines if line.split() and line.split()[0] == name]
        assert line.split()[1] == spec.base
        assert spec.summary in line
    assert lines[-1] == "more of one: ahl strategies show NAME"


def test_the_list_as_json(ahl: Any, catalogue: Catalogue) -> None:
    rows = json.loads(ahl("strategies", "list", "--json", "--no-plugins").out)
    assert [row["name"] for row in rows] == NAMES
    for row in rows:
        spec = catalogue.strategy(row["name"])
        assert (row["formula"], row["base"]) == (spec.formula, spec.base)
        assert tuple(row["models"]) == spec.models
        assert row["capabilities"] == sorted(spec.capabilities)


@pytest.mark.parametrize("name", NAMES)
def test_one_is_shown_with_all_there_is_to_know(ahl: Any, catalogue: Catalogue, name: str) -> None:
    done = ahl("strategies", "show", name, "--no-plugins")
    assert (done.code, done.err) == (0, "")
    spec = catalogue.strategy(name)
    assert done.out.startswith(f"{name}: {spec.summary}\n")
    facts = [line.split(None, 1) for line in done.out.splitlines()[2:]]
    assert ["formula", spec.formula] in facts
    assert (["paper", spec.paper] in facts) == bool(spec.paper)
    assert ["models", model_count(spec)] in facts
    assert ["from", f"adapterhub-lite {version('adapterhub-lite')}"] in facts
    (base,) = [fact[1] for fact in facts if fact[:1] == ["base"]]
    assert base.split(":")[0] == spec.base
    for capability, meaning in MERGE_CAPABILITIES.items():
        assert (f" {capability}: {meaning}\n" in done.out) == (capability in spec.capabilities)
    told = "".join(done.out.split())
    for params in (spec.params, spec.model_params):
        for key, field in params.model_fields.items():
            assert f"\n  {field.alias or key} (" in done.out
            assert "".join(str(field.description).split()) in told
    has_some = bool(spec.params.model_fields or spec.model_params.model_fields)
    assert ("it takes no parameters" in done.out) is not has_some


@pytest.mark.parametrize("name", NAMES)
def test_one_as_json_has_the_schemas_of_its_parameters(
    ahl: Any, catalogue: Catalogue, name: str
) -> None:
    shown = json.loads(ahl("strategies", "show", name, "--json", "--no-plugins").out)
    spec = catalogue.strategy(name)
    assert shown["parameters"] == spec.params.model_json_schema()
    assert shown["model_parameters"] == spec.model_params.model_json_schema()
    assert shown["formula"] == spec.formula


@pytest.mark.parametrize("name", NAMES)
def test_the_example_is_a_recipe_that_the_strategy_takes(
    ahl: Any, catalogue: Catalogue, name: str
) -> None:
    spec = catalogue.strategy(name)
    _, _, text = ahl("strategies", "show", name, "--no-plugins").out.partition("example recipe:")
    values = yaml.safe_load(text)
    recipe = validate(MergeRecipe, values, where="recipe")
    strategy = dict(values["strategy"])
    assert strategy.pop("name") == name
    params = validate(spec.params, strategy, where=name)
    each = [validate(spec.model_params, entry.params, where=name) for entry in recipe.models]
    least, most = spec.models
    assert least <= len(each) <= (most or len(each))
    assert ("base" in values) is (spec.base == "needed")
    implementation = catalogue.implementation(spec)
    assert list(implementation.check(params, each)) == []


def test_defaults_are_spelt_as_a_recipe_spells_them(ahl: Any) -> None:
    text = ahl("strategies", "show", "task_arithmetic").out
    assert "\n  normalize (default: false)\n" in text
    assert "\n  lambda (default: 1.0)\n" in text
    assert "\nparameters of each model, or once for all:\n  weight (default: 1.0)\n" in text
    assert "  - {ref: ./second, weight: 0.4}\n" in text


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_an_unknown_name_comes_with_the_nearest(ahl: Any, form: list[str]) -> None:
    done = ahl("strategies", "show", "lineer", *form)
    assert (done.code, done.out) == (2, "")
    error, hint = done.err.splitlines()
    assert error == "error: unknown strategy 'lineer'"
    assert "did you mean 'linear'?" in hint


class Bounded(Params):
    """Parameters without defaults."""

    t: float = Field(ge=0, le=1, description="How far")
    count: int = Field(ge=2, description="How many")
    way: str = Field(examples=["long"], description="Which way")
    kept: float = Field(default=3.0, description="Not told")


@pytest.mark.parametrize(
    ("models", "told", "shown"),
    [((1, 0), "1 or more", 2), ((2, 2), "2", 2), ((3, 5), "3 to 5", 3), ((1, 1), "1", 1)],
)
def test_an_example_has_what_is_required(models: tuple[int, int], told: str, shown: int) -> None:
    spec = MergeSpec(
        name="x", summary="X.", formula="x", params=Bounded, base="optional", models=models
    )
    assert model_count(spec) == told
    recipe = example_recipe(spec)
    assert recipe["strategy"] == {"name": "x", "t": 0.5, "count": 3, "way": "long"}
    assert recipe["models"] == [{"ref": f"./{n}"} for n in ("first", "second", "third")[:shown]]
    assert "base" not in recipe
    assert yaml.safe_load(example_text(spec)) == recipe


def test_what_a_stranger_offers_is_listed(ahl: Any, environment: Any) -> None:
    source = (
        "from adapterhub_lite.hookspecs import hookimpl\n"
        "from adapterhub_lite.specs import MergeSpec\n\n"
        "@hookimpl\ndef adapterhub_merge_strategies():\n"
        "    yield MergeSpec(name='median', summary='The median.', formula='med(x)',\n"
        "        base='unused', capabilities=frozenset({'commutative'}))\n"
    )
    environment.install("acme", {"x": "acme"}, {"acme": source}, version="3.1")
    assert "The median." in ahl("strategies", "list").out
    text = ahl("strategies", "show", "median").out
    assert "acme 3.1" in text
    assert "it takes no parameters" in text
    assert "median" not in ahl("strategies", "list", "--no-plugins").out
