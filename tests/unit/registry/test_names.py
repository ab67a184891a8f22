"""Names, references and paths."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite_registry import (
    InvalidManifestError,
    InvalidNameError,
    Registry,
    check_name,
)
from adapterhub_lite_registry.names import NAME_RULE, suggest_name


@pytest.mark.parametrize("name", ["a", "0", "support-intents", "a.b_c-d", "x" * 63])
def test_allowed_names(name):
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("Support Intents", "support-intents"),
        ("../etc/passwd", "etc-passwd"),
        ("-x", "x"),
        ("Größe", "groe"),
        ("x" * 64, "x" * 63),
        ("", "my-adapter"),
        ("日本", "my-adapter"),
        ("a\n", "a"),
    ],
)
def test_a_bad_name_comes_with_a_good_one(name, suggestion):
    with pytest.raises(InvalidNameError) as caught:
        check_name(name)
    assert repr(suggestion) in caught.value.hint


@given(st.text())
def test_every_suggestion_is_allowed(text):
    assert re.fullmatch(NAME_RULE, suggest_name(text))


@pytest.mark.parametrize("ref", ["", "@1", "a@", "A@1", "a@b@c", "a@sha256:00", "a@Prod", "a/b"])
def test_bad_references(registry: Registry, ref):
    with pytest.raises(InvalidNameError):
        registry.resolve(ref)


@pytest.mark.parametrize("alias", ["7", "007", "Prod", "", "a b"])
def test_bad_aliases(registry: Registry, publish, alias):
    publish()
    with pytest.raises(InvalidNameError):
        registry.set_alias("support", alias, 1)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/a",
        "../a",
        "a/../b",
        "./a",
        "a//b",
        "a/",
        "a\\b",
        "C:a",
        "a\x00b",
        "a\nb",
        "x" * 300,
        "\u202e",
    ],
)
def test_paths_that_would_leave_the_folder(registry: Registry, publish, path):
    with pytest.raises(InvalidManifestError):
        publish(files={path: b""})
    assert registry.names() == []


@pytest.mark.parametrize(
    "paths", [("a", "a/b"), ("a/b", "a"), ("A.json", "a.json"), ("\xe9", "e\u0301")]
)
def test_paths_that_collide(publish, paths):
    with pytest.raises(InvalidManifestError):
        publish(files=dict.fromkeys(paths, b""))


@pytest.mark.parametrize("path", ["pytorch_model.bin", "head.pkl", "x/y.PT"])
def test_pickles_stay_outside(publish, path):
    with pytest.raises(InvalidManifestError, match="pickle"):
        publish(files={path: b""})


def test_a_version_has_files(publish):
    with pytest.raises(InvalidManifestError):
        publish(files={})
