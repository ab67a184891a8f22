"""A route that learns from examples: who is asked, held against a computation from the files."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from transformers import AutoModel

from adapterhub_lite import api
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import RecipeError
from adapterhub_lite.inference.fleet import Asked, Fleet
from adapterhub_lite.plugins import PluginSource, get_catalogue, installed_sources
from adapterhub_lite.transformer import load_tokenizer, quiet_transformers
from adapterhub_lite_compositions.learnt import STRENGTHS, Chooser
from tests.unit.composition import learners
from tests.unit.composition.conftest import Adapter
from tests.unit.composition.models import folder_of
from tests.unit.composition.routes import FRUIT, MUSIC, NEW, NUMBERS, who

Compose = Callable[..., Any]
Floats = NDArray[np.float64]


def embedded(base: Path, texts: Sequence[str]) -> Floats:
    """Return the base's embeddings by plain transformers, one text at a time, in 64 bits."""
    with quiet_transformers():
        model = AutoModel.from_pretrained(base).double().eval()
    tokenizer, found = load_tokenizer(base), []
    for text in texts:
        with torch.no_grad():
            hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        mean = hidden.mean(0).numpy()
        found.append(mean / np.linalg.norm(mean))
    return np.stack(found)


def learnt_of(folder: Path) -> tuple[Floats, Floats]:
    tensors = load_file(folder / "learnt" / "route.safetensors")
    return tensors["weights"], tensors["bias"]


HOW: list[dict[str, Any]] = [
    {"name": "route", "by": "centroid"},
    {"name": "route", "by": "router", "c": 10.0},
]
BY = pytest.mark.parametrize("how", HOW, ids=["centroid", "router"])


@BY
def test_inputs_go_where_the_examples_are_like_them(
    how: Any, pair: Any, compose: Compose, bases: Callable[..., Path]
) -> None:
    made = compose(how, *pair)
    routed = api.load("made")
    assert who(routed.predict(list(NEW))) == NUMBERS
    found = routed.predict_proba(list(NEW))
    for member, ref, columns in ((0, "a", slice(0, 3)), (1, "b", slice(3, 5))):
        own = [place for place, number in enumerate(NUMBERS) if number == member]
        alone = api.load(ref).predict_proba([NEW[place] for place in own])
        np.testing.assert_allclose(found[own, columns], alone, atol=1e-6)
    np.testing.assert_allclose(found.sum(1), 1.0)
    assert routed.member("b").predict_proba([NEW[0]]).shape == (1, 2)
    fleet = Fleet(api.open_registry(), get_catalogue())
    assert who(fleet.predict([Asked(ref="made@1", input=text) for text in NEW])) == NUMBERS
    assert made.learnt.figures["held_out"]["share"] > 0.65
    weights, bias = learnt_of(folder_of("made"))
    scores = embedded(bases(), NEW) @ weights.T + bias
    assert scores.argmax(1).tolist() == NUMBERS


def test_a_centroid_is_the_mean_of_the_examples(
    pair: Any, compose: Compose, bases: Callable[..., Path]
) -> None:
    compose({"name": "route", "by": "centroid"}, *pair)
    weights, bias = learnt_of(folder_of("made"))
    for row, texts in zip(weights, (FRUIT, MUSIC), strict=True):
        mean = embedded(bases(), texts).mean(0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-6)
    assert not bias.any()


def test_a_router_is_at_the_minimum_of_the_balanced_loss(
    pair: Any, compose: Compose, bases: Callable[..., Path]
) -> None:
    """Where gradients are zero: of ‖w‖²/2 + C Σ sᵢ log-lossᵢ, members counting alike."""
    c = 2.0
    compose({"name": "route", "by": "router", "c": c}, *pair)
    weights, bias = learnt_of(folder_of("made"))
    texts, of = (*FRUIT, *MUSIC), np.array([0.0] * len(FRUIT) + [1.0] * len(MUSIC))
    x, w, b = embedded(bases(), texts), weights[1] - weights[0], bias[1] - bias[0]
    share = len(texts) / 2 / np.where(of == 1, len(MUSIC), len(FRUIT))
    error = share * (1 / (1 + np.exp(-(x @ w + b))) - of)
    assert np.linalg.norm(w) > 0.5
    np.testing.assert_allclose(w + c * error @ x, 0.0, atol=5e-3)
    assert error.sum() == pytest.approx(0.0, abs=5e-3)


def test_what_nobody_is_near_enough_goes_to_the_head(pair: Any, compose: Compose) -> None:
    made = compose({"name": "route", "by": "centroid", "least": 0.9999}, *pair, head="b")
    assert who(api.load("made").predict(list(NEW))) == [1, 1, 1, 1]
    held = made.learnt.figures["held_out"]
    assert held["below_least"] == 1.0
    assert held["confusion"] == [[0, len(FRUIT)], [0, len(MUSIC)]]
    assert made.learnt.lines[1] == "1.00 of all are below least, and left to b"


def test_a_router_chooses_how_strong_it_is(
    pair: Any, compose: Compose, rows: Callable[..., str]
) -> None:
    few = {**pair[1], "examples": rows("few", MUSIC[:2])}
    made = compose({"name": "route", "by": "router", "most_examples": 2}, pair[0], few)
    assert made.learnt.figures["c"] in STRENGTHS
    assert made.learnt.figures["examples"] == {"a": 2, "b": 2}
    assert made.learnt.figures["held_out"]["folds"] == 2


def test_a_text_without_tokens_fits_nobody() -> None:
    chooser = Chooser("centroid", np.eye(2, 4), np.zeros(2))
    assert chooser.choose(np.diag([1.0, 1.0, 0.0, 1.0]), None).tolist() == [0, 1, -1, 0]


def test_the_same_recipe_writes_the_same_bytes(pair: Any, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    turned = list(reversed(Path(pair[0]["examples"]).read_text().splitlines()))
    for folder in folders:
        api.compose({"composition": HOW[1], "members": pair}, out=folder)
        Path(pair[0]["examples"]).write_text("\n".join(turned))  # their order does not matter
    for name in ("route.json", "route.safetensors"):
        one, two = (folder / "learnt" / name for folder in folders)
        assert one.read_bytes() == two.read_bytes()


def test_what_was_held_out_is_told(pair: Any, ahl: Any, tmp_path: Path) -> None:
    recipe = {"composition": {"name": "route", "by": "centroid"}, "members": pair}
    file = tmp_path / "compose.json"
    file.write_text(json.dumps(recipe))
    dry = ahl("compose", str(file), "--dry-run")
    assert f"examples     a: 10 of {pair[0]['examples']}" in dry.out, dry.err
    done = ahl("compose", str(file), "--name", "made", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["examples"]["a"]["rows"], told["warnings"]) == (10, [])
    held = told["learnt"]["held_out"]
    table = np.array(held["confusion"])
    assert table.sum(1).tolist() == [len(FRUIT), len(MUSIC)]
    shares = table.diagonal() / table.sum(1)
    assert held["members"] == pytest.approx({"a": shares[0], "b": shares[1]})
    assert held["share"] == pytest.approx(shares.mean())
    manifest = api.open_registry().resolve("made").manifest.hyperparameters["composition"]
    assert manifest["learnt"] == told["learnt"]
    assert manifest["examples"] == told["examples"]
    card = (folder_of("made") / "README.md").read_text()
    assert f"| a | {table[0, 0]} | {table[0, 1]} |" in card


def test_a_route_that_goes_by_nothing_is_warned_of(
    adapter: Adapter, rows: Callable[..., str], ahl: Any, tmp_path: Path
) -> None:
    members = [{"ref": adapter(name), "examples": rows(name, FRUIT)} for name in ("a", "b")]
    file = tmp_path / "compose.json"
    file.write_text(json.dumps({"composition": HOW[1], "members": members}))
    done = ahl("compose", str(file), "--name", "made")
    assert "of a member's held-out examples go to it (by chance 0.50; 5 folds): a 0." in done.out
    assert "warning: the route is no better than chance" in done.err
    assert "**Warning**: the route" in (folder_of("made") / "README.md").read_text()


def test_a_strangers_composition_learns_like_ours(pair: Any) -> None:
    source = PluginSource("by-length", "ahl-length", "1.0", lambda: learners)
    catalogue = Catalogue([*installed_sources(), source])
    Path(pair[1]["examples"]).write_text('{"text": "a"}\n')
    recipe = {"composition": "by-length", "members": pair, "publish": "made"}
    made = api.compose(recipe, catalogue=catalogue)
    assert made.learnt is not None
    assert made.learnt.warnings == ["believe nothing"]
    assert json.loads((folder_of("made") / "learnt" / "lengths.json").read_text())["b"] == 1.0
    model = api.load("made", catalogue=catalogue)
    assert who(model.predict(["a b", NEW[0]])) == [1, 0]
    with pytest.raises(RecipeError, match="switch learns nothing here, and a@1 has examples"):
        api.plan_compose({**recipe, "composition": "switch"})
