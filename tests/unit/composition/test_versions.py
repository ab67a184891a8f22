"""A composition is a version: it has parents, is asked by alias, and stands on its own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapterhub_lite import api
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import (
    CapabilityError,
    InUseError,
    MissingDependencyError,
    RecipeError,
)
from adapterhub_lite.plugins import PluginSource, installed_sources
from tests.unit.composition import strangers
from tests.unit.composition.conftest import TEXTS, Adapter

Ahl = Callable[..., Any]


def by_us(ref: str, **options: Any) -> Any:
    return api.load(ref, **options).predict_proba(list(TEXTS))


def test_it_says_what_it_was_made_of(adapter: Adapter, compose: Any) -> None:
    a, b = adapter("a"), adapter("b")
    version = compose("average", {"ref": a, "weight": 3}, {"ref": b, "weight": 1}).version
    digests = [api.open_registry().resolve(ref).digest for ref in (a, b)]
    parents = [(p.digest, p.role, p.weight) for p in version.manifest.parents]
    assert parents == [(digests[0], "member", 3.0), (digests[1], "member", 1.0)]
    made = version.manifest.hyperparameters["composition"]
    assert made["name"] == "average"
    assert made["members"]["a"] == {"ref": "a@1", "params": {"weight": 3.0}}
    assert version.manifest.kind == "adapter"
    assert version.manifest.method.name == "lora"
    live = compose("switch", a, b).version
    assert live.manifest.kind == "composition"
    info = json.loads(api.open_registry().read_file(live, "adapterhub.json"))["composition"]
    assert [(m["name"], m["ref"], m["digest"]) for m in info["members"]] == [
        ("a", "a@1", digests[0]),
        ("b", "b@1", digests[1]),
    ]


def test_a_member_cannot_be_removed_from_under_it(adapter: Adapter, compose: Any) -> None:
    a, b = adapter("a"), adapter("b")
    compose("switch", a, b)
    with pytest.raises(InUseError, match="a@1 is a parent of made@1"):
        api.open_registry().remove(a)


def test_its_members_files_cost_nothing_a_second_time(adapter: Adapter, compose: Any) -> None:
    a, b = adapter("a"), adapter("b")
    blobs = {
        file.name for file in api.open_registry().home.rglob("*") if file.stat().st_size > 4096
    }
    compose("switch", a, b)
    after = {
        file.name for file in api.open_registry().home.rglob("*") if file.stat().st_size > 4096
    }
    assert {name for name in after - blobs if len(name) == 64} == set()


def test_it_stands_on_its_own_in_a_folder(adapter: Adapter, compose: Any, tmp_path: Path) -> None:
    a, b = adapter("a"), adapter("b")
    for how in ("average", "stack"):
        folder = tmp_path / how
        api.compose({"composition": how, "members": [a, b]}, out=folder)
        version = compose(how, a, b, publish=how).version
        assert np.array_equal(by_us(str(folder)), by_us(str(version)))


def test_members_may_be_folders(adapter: Adapter, compose: Any, tmp_path: Path) -> None:
    adapter("a")
    adapter("b")
    version = compose("stack", str(tmp_path / "adapters" / "a"), "b").version
    assert [p.role for p in version.manifest.parents] == ["member"]
    assert api.load("made").members == ("a", "b")


def test_from_the_command_line(ahl: Ahl, adapter: Adapter, tmp_path: Path) -> None:
    adapter("a")
    adapter("b", labels=("yes", "no"))
    recipe = tmp_path / "compose.yml"
    recipe.write_text("composition: switch\nmembers: [a, {ref: b@1, name: yesno}]\n")
    dry = ahl("compose", str(recipe), "--name", "either", "--dry-run")
    assert dry.code == 0
    assert "nothing was loaded" in dry.out
    assert "either" not in api.open_registry().names()
    done = ahl("compose", str(recipe), "--name", "either", "--alias", "prod", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["version"], told["relative_difference"]) == ("either@1", 0.0)
    asked = ahl("predict", "either@prod", TEXTS[0], "--member", "yesno", "--json")
    assert asked.code == 0, asked.err
    answer = json.loads(asked.out)
    assert set((answer[0] if isinstance(answer, list) else answer)["probabilities"]) == {
        "yes",
        "no",
    }
    misspelt = ahl("predict", "either@prod", TEXTS[0], "--member", "yesnoo")
    assert (misspelt.code, "did you mean 'yesno'" in misspelt.err) == (2, True)
    shown = ahl("show", "either@prod")
    assert "switch of a@1, b@1" in shown.out
    assert "a@1, adapter, member" in ahl("log", "either").out
    rows = tmp_path / "rows.csv"
    rows.write_text(f"text,label\n{TEXTS[0]},fruit\n{TEXTS[1]},tool\n")
    assert "either@1 on" in ahl("eval", "either@prod", "--data", str(rows)).out


def test_by_naming_adapters_on_the_line(ahl: Ahl, adapter: Adapter, tmp_path: Path) -> None:
    adapter("a")
    adapter("b")
    line = ("compose", "a", "b@1", "--as", "average")
    done = ahl(*line, "--weights", "0.7,0.3", "--name", "both", "--set", "normalise=false")
    assert done.code == 0, done.err
    assert "member       b: b@1, weight 0.3" in done.out
    assert "normalise False" in done.out
    few = ahl(*line, "--weights", "0.7", "--name", "both")
    assert (few.code, "1 for 2 adapters" in few.err) == (2, True)
    none = ahl("compose", "a", "b", "--name", "both")
    assert (none.code, "say how" in none.err) == (2, True)
    words = ahl(*line, "--weights", "much,more")
    assert (words.code, "no list of numbers" in words.err) == (2, True)
    out = ahl(*line, "--out", str(tmp_path / "there"), "--json")
    assert json.loads(out.out)["folder"] == str(tmp_path / "there")


def test_a_strangers_composition_is_used_like_ours(adapter: Adapter) -> None:
    source = PluginSource("vote", "ahl-vote", "1.0", lambda: strangers)
    catalogue = Catalogue([*installed_sources(), source])
    refs = [adapter("a"), adapter("b"), adapter("c")]
    recipe = {"composition": {"name": "vote", "quorum": 0.5}, "members": refs, "publish": "voted"}
    made = api.compose(recipe, catalogue=catalogue)
    assert made.compared.difference == 0.0
    shares = by_us("voted", catalogue=catalogue)
    votes = np.stack([by_us(ref).argmax(1) for ref in refs])
    expected = np.stack([(votes == label).mean(0) for label in range(3)], axis=1)
    np.testing.assert_allclose(shares, expected)
    with pytest.raises(RecipeError, match="3 to 4 members"):
        api.compose({**recipe, "members": refs[:2]}, catalogue=catalogue)
    with pytest.raises(
        MissingDependencyError, match=r"voted@1 needs the composition 'vote' of ahl-v"
    ):
        api.load("voted")
    odd = adapter("odd", labels=("yes", "no", "perhaps"))
    with pytest.raises(CapabilityError, match="vote does not take these members: they have"):
        api.compose({**recipe, "members": [*refs[:2], odd]}, catalogue=catalogue)
