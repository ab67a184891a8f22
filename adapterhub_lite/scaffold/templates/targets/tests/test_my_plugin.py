"""my-plugin names modules that the architecture has, and leaves other architectures alone."""

from pathlib import Path

import pytest
from my_plugin import MODEL_TYPE, MODULES

from adapterhub_lite.plugins import load_catalogue
from adapterhub_lite.specs import TARGET_ROLES, Head, TargetRole
from adapterhub_lite.testing import write_tiny_model
from adapterhub_lite.transformer import empty_model


def test_every_role_is_played() -> None:
    assert MODULES.keys() == TARGET_ROLES.keys()


@pytest.mark.parametrize("role", MODULES)
def test_a_role_is_answered(role: TargetRole) -> None:
    assert load_catalogue().target_modules(MODEL_TYPE, role) == MODULES[role]


def test_other_architectures_are_left_to_others() -> None:
    assert load_catalogue().target_modules("bert", "query-value") is None


def test_every_name_is_a_modules(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path, MODEL_TYPE)
    model = empty_model(folder, Head()).model
    names = [f".{name}" for name, _ in model.named_modules()]
    for ending in {ending for endings in MODULES.values() for ending in endings}:
        first = ending.replace("*", "0")
        assert any(name.endswith(f".{first}") for name in names), ending
