"""What a route cannot learn from is refused before it is, and so are files that were changed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from adapterhub_lite import api
from adapterhub_lite.errors import CapabilityError, DataError, IntegrityError, RecipeError
from tests.unit.composition.conftest import Adapter

REFUSED: list[tuple[dict[str, Any], dict[str, Any], type[Exception], str]] = [
    (
        {"by": "centroid"},
        {"words": ["plum"]},
        CapabilityError,
        "a has words, and they are asked",
    ),
    ({"by": "centroid", "c": 1.0}, {}, RecipeError, "'c' means nothing by centroid"),
    ({"by": "words", "least": 0.5}, {}, RecipeError, "'least' means nothing by words"),
    ({"by": "words"}, {"words": ["plum"]}, RecipeError, "route learns nothing here, and a@1 has"),
    ({"by": "router", "least": 2}, {}, RecipeError, "least"),
    ({"by": "router"}, {"examples": "none.csv"}, DataError, "none.csv"),
    ({"by": "router"}, {"exampels": "x.csv"}, RecipeError, "did you mean 'examples'?"),
    ({"by": "router"}, {"examples": {"trian": "x.csv"}}, RecipeError, "trian"),
    ({"by": "router"}, {"examples": {"train": "x.csv", "shots": 3}}, RecipeError, "shots"),
]


@pytest.mark.parametrize(("how", "member", "error", "reason"), REFUSED)
def test_recipes_that_make_no_sense(
    how: Any, member: Any, error: type[Exception], reason: str, pair: Any
) -> None:
    members = [{**pair[0], **member}, pair[1]]
    if how["by"] == "words":
        members[1] = {"ref": pair[1]["ref"], "words": ["flute"]}
    with pytest.raises(error) as refused:
        api.plan_compose({"composition": {"name": "route", **how}, "members": members})
    assert reason in f"{refused.value} {getattr(refused.value, 'hint', '')}"


def test_members_without_examples(
    adapter: Adapter, pair: Any, rows: Callable[..., str], tmp_path: Path
) -> None:
    def plan(*members: Any) -> Any:
        recipe = {"composition": {"name": "route", "by": "router"}, "members": list(members)}
        return api.plan_compose(recipe)

    with pytest.raises(RecipeError, match="b@1 has no examples: its version names no") as refused:
        plan(pair[0], "b@1")
    assert refused.value.hint == ("name a file of inputs: {ref: b@1, examples: rows.jsonl}")
    with pytest.raises(RecipeError, match="a folder does not say what it was trained on"):
        plan(pair[0], str(tmp_path / "adapters" / "b"))
    few = {**pair[1], "examples": rows("few", ["one", "one", " "])}
    with pytest.raises(DataError, match="b has 1 different texts, and 2 are needed"):
        plan(pair[0], few)


def _damaged(folder: Path, name: str, change: Callable[[Any], Any]) -> None:
    tensors = load_file(folder / "learnt" / "route.safetensors")
    save_file(tensors | {name: change(tensors[name])}, folder / "learnt" / "route.safetensors")


def _nan(values: Any) -> Any:
    values[0] = np.nan
    return values


def _config(folder: Path, key: str, value: Any) -> None:
    file = folder / "learnt" / "route.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "nan": (lambda f: _damaged(f, "weights", _nan), "'weights' is not finite"),
    "shape": (lambda f: _damaged(f, "weights", lambda w: w[:, 1:].copy()), "no table of"),
    "type": (lambda f: _damaged(f, "bias", lambda b: b.astype(np.float32)), "no table of"),
    "members": (lambda f: _config(f, "members", ["b", "a"]), "is of others"),
    "rule": (lambda f: _config(f, "by", "router"), "is of others"),
    "pooling": (lambda f: _config(f, "pooling", "sum"), "does not parse"),
    "length": (lambda f: _config(f, "max_length", 0), "does not parse"),
    "base": (
        lambda f: (
            _config(f, "width", 4),
            _damaged(f, "weights", lambda w: w[:, :4].copy()),
        ),
        "for 4 numbers a text, the base has 32",
    ),
    "garbage": (
        lambda f: (f / "learnt" / "route.safetensors").write_bytes(b"{}"),
        "does not parse",
    ),
    "absence": (lambda f: (f / "learnt" / "route.json").unlink(), "does not parse"),
}


def test_files_that_were_changed_are_refused(pair: Any, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    how = {"name": "route", "by": "centroid"}
    api.compose({"composition": how, "members": pair}, out=folder)
    files = {file: file.read_bytes() for file in (folder / "learnt").iterdir()}
    for damage, reason in DAMAGES.values():
        damage(folder)
        with pytest.raises(IntegrityError, match=reason):
            api.load(str(folder))
        for file, content in files.items():
            file.write_bytes(content)
    api.load(str(folder))
