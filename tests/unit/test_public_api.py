"""What the package exports, and the exception tree as it is drawn."""

import importlib
import inspect
import re
import subprocess
import sys

import pytest

import adapterhub_lite
from adapterhub_lite import errors

EXPORTED = [
    "AdapterHubError",
    "ComposeResult",
    "Deployment",
    "MergeResult",
    "Prediction",
    "Predictor",
    "TrainResult",
    "compose",
    "deploy",
    "load",
    "merge",
    "open_registry",
    "pull",
    "push",
    "sync",
    "train",
]


def test_the_exported_names() -> None:
    assert adapterhub_lite.__all__ == EXPORTED
    assert dir(adapterhub_lite) == EXPORTED


@pytest.mark.parametrize("name", EXPORTED)
def test_every_name_is_imported_on_use(name: str) -> None:
    code = (
        "import sys, adapterhub_lite\n"
        "before = set(sys.modules)\n"
        "assert not any(name.startswith('adapterhub_lite.') for name in before)\n"
        f"from adapterhub_lite import {name}\n"
        "assert set(sys.modules) > before\n"
        "assert 'torch' not in sys.modules\n"
        f"print({name}.__doc__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() not in ("", "None")


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'merge_everything'"):
        _ = adapterhub_lite.merge_everything


def test_type_checkers_and_users_see_the_same_names() -> None:
    source = inspect.getsource(adapterhub_lite)
    block = source.partition("if TYPE_CHECKING:")[2].partition("\n_MODULES")[0]
    seen = dict(re.findall(r"from (\S+) import (.+)", block))
    pairs = {name: module for module, names in seen.items() for name in names.split(", ")}
    assert sorted(pairs) == EXPORTED
    for name, module in pairs.items():
        assert getattr(importlib.import_module(module), name) is getattr(adapterhub_lite, name)


def drawn() -> dict[str, tuple[str | None, int]]:
    """Parse the tree in the docstring: class → its parent, and its exit code."""
    tree: dict[str, tuple[str | None, int]] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    ((?:[│├└─ ]{4})*)(\w+Error)\b(?:.*exit (\d))?", line)
        if not found:
            continue
        depth = len(found[1]) // 4
        del above[depth:]
        parent = above[-1] if above else None
        inherited = tree[parent][1] if parent else 1
        tree[found[2]] = (parent, int(found[3] or inherited))
        above.append(found[2])
    return tree


def test_the_tree_is_drawn_as_it_is() -> None:
    real = {
        name: (getattr(errors, name).__bases__[0].__name__, getattr(errors, name).exit_code)
        for name in errors.__all__
        if name != "AdapterHubError"
    }
    assert drawn() == {"AdapterHubError": (None, 1), **real}


def test_no_error_is_left_out_of_the_tree() -> None:
    import adapterhub_lite_registry.errors as registry_errors

    defined = {
        name
        for module in (errors, registry_errors)
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, errors.AdapterHubError)
    }
    assert set(errors.__all__) == defined


def test_every_error_has_one_base_and_says_what_it_means() -> None:
    for name in errors.__all__:
        error = getattr(errors, name)
        assert len(error.__bases__) == 1, name
        assert error.__doc__, name


@pytest.mark.parametrize(
    ("name", "known", "nearest"),
    [
        ("lables", ["label", "text"], "label"),
        ("sead", ["seed", "seeds"], "seed"),
        ("SEED", ["seed"], "seed"),
        ("zzz", ["seed"], None),
        ("x", [], None),
    ],
)
def test_the_nearest_name(name: str, known: list[str], nearest: str | None) -> None:
    assert errors.nearest_name(name, known) == nearest
