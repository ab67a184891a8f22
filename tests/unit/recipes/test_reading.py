"""Reading a recipe's YAML: what is taken, and what is refused with a reason."""

from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite.errors import RecipeError
from adapterhub_lite.recipes import apply_overrides, read_recipe
from adapterhub_lite.recipes.loading import MAX_RECIPE_BYTES

BOMB = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 40)
)


def test_a_recipe_is_read_as_written(write_recipe: Any) -> None:
    path = write_recipe("base: minilm\nmethod: {name: full, layers: 2}\nseed: 3\npublish: null\n")
    assert read_recipe(path) == {
        "base": "minilm",
        "method": {"name": "full", "layers": 2},
        "seed": 3,
        "publish": None,
    }


def test_merge_keys_work_and_ones_own_win(write_recipe: Any) -> None:
    path = write_recipe("data: &d {train: a.csv, shots: 8}\nother: {<<: *d, shots: 2}\n")
    assert read_recipe(path)["other"] == {"train": "a.csv", "shots": 2}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("seed: 1\nseed: 2\n", "the key 'seed' is given twice (line 2, column 1)"),
        ("data: {shots: 1, shots: 2}\n", "the key 'shots' is given twice (line 1, column 18)"),
        ("data: [{a: {b: 1, b: 2}}]\n", "the key 'b' is given twice"),
        ("seed: [1\n", "is no valid YAML: expected ',' or ']'"),
        ("\tseed: 1\n", "is no valid YAML: found character '\\t' that cannot start any token"),
        ("a: *nobody\n", "found undefined alias"),
        ("[1]: 2\n", "found unhashable key"),
        ("a: &a {b: *a}\n", "found unconstructable recursive node"),
        ("publish: 2024-13-45\n", "a value cannot be read (month must be in 1..12)"),
        ("seed: !!int ''\n", "a value cannot be read"),
        ("seed: !!timestamp soon\n", "a value cannot be read"),
        ("a: " + "[" * 100_000, "it is nested too deeply"),
        ("", "a recipe is a mapping"),
        ("# nothing\n", "a recipe is a mapping"),
        ("- base: minilm\n", "a recipe is a mapping"),
        ("minilm\n", "a recipe is a mapping"),
        ("a: 1\n---\nb: 2\n", "holds 2 documents: a recipe is one"),
    ],
)
def test_what_is_no_recipe(write_recipe: Any, text: str, reason: str) -> None:
    path = write_recipe(text)
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    assert reason in caught.value.message
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch stolen']",
        "!!python/name:os.system",
        "!!python/object:builtins.object {}",
        "!!python/tuple [1]",
        "!mine 3",
    ],
)
def test_tags_that_make_objects_are_refused(
    write_recipe: Any, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match="could not determine a constructor for the tag"):
        read_recipe(write_recipe(f"a: {value}\n"))
    with pytest.raises(RecipeError, match="could not determine a constructor for the tag"):
        apply_overrides({}, [f"a={value}"])
    assert not Path("stolen").exists()


def test_a_bomb_of_aliases_stays_small(write_recipe: Any) -> None:
    bomb = read_recipe(write_recipe(BOMB))
    assert bomb["a39"][0] is bomb["a39"][8]
    changed = apply_overrides(bomb, ["seed=1", "data.train=a.csv"])
    assert changed["a39"] is bomb["a39"]


def test_an_override_of_one_alias_leaves_the_other(write_recipe: Any) -> None:
    recipe = read_recipe(write_recipe("method: &m {name: full}\nobjective: *m\n"))
    changed = apply_overrides(recipe, ["method.layers=2"])
    assert changed["objective"] == {"name": "full"}


@pytest.mark.parametrize(("extra", "taken"), [(0, True), (1, False)])
def test_a_recipe_has_a_size(write_recipe: Any, extra: int, taken: bool) -> None:
    start = "seed: 1\n#"
    path = write_recipe(start + "x" * (MAX_RECIPE_BYTES - len(start) + extra))
    if taken:
        assert read_recipe(path) == {"seed": 1}
        return
    with pytest.raises(RecipeError, match="is over 1 MiB: that is no recipe"):
        read_recipe(path)


def test_very_many_keys_are_read(write_recipe: Any) -> None:
    recipe = read_recipe(write_recipe("".join(f"k{n}: 1\n" for n in range(20_000))))
    assert len(recipe) == 20_000


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no recipe file .*none\.yml"):
        read_recipe(tmp_path / "none.yml")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="is a folder, not a recipe file"):
        read_recipe(tmp_path)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "train.yml"
    path.write_bytes(b"base: \xff\n")
    with pytest.raises(RecipeError, match=r"is not UTF-8 text \(byte 6\)"):
        read_recipe(path)
