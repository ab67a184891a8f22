"""What ``ahl plugins uninstall`` refuses, before pip is asked."""

import sys
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("adapterhub-lite", "belongs to adapterhub-lite itself"),
        ("AdapterHub_Lite", "belongs to adapterhub-lite itself"),
        ("quant", "belongs to adapterhub-lite itself"),
        ("pluggy", "it offers nothing to adapterhub-lite"),
        ("acme-tolls", "did you mean 'acme-tools'?"),
    ],
)
def test_what_is_no_strangers_plugin(ahl: Any, environment: Any, name: str, reason: str) -> None:
    environment.install("acme-tools", {"x": "acme_x"}, {"acme_x": ""})
    done = ahl("plugins", "uninstall", "--yes", name)
    assert done.code == 2
    assert reason in done.err


def test_it_asks_first(
    ahl: Any, environment: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    environment.install("acme-tools", {"x": "acme_x"}, {"acme_x": ""})
    (tmp_path / "answer").write_text("n\n")
    removed: list[Any] = []
    monkeypatch.setattr("adapterhub_lite.plugins.installing.pip_uninstall", removed.append)
    with (tmp_path / "answer").open() as answer:
        monkeypatch.setattr(sys, "stdin", answer)
        done = ahl("plugins", "uninstall", "x")
    assert done.code == 130
    assert "remove acme-tools?" in done.err
    assert removed == []


def test_what_is_removed_is_no_longer_disabled(
    ahl: Any, environment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment.install("acme-tools", {"x": "acme_x"}, {"acme_x": ""})
    ahl("plugins", "disable", "x")
    removed: list[Any] = []
    monkeypatch.setattr("adapterhub_lite.plugins.installing.pip_uninstall", removed.append)
    assert ahl("plugins", "uninstall", "acme-tools", "--yes").code == 0
    assert removed == [["acme-tools"]]
    assert ahl("plugins", "enable", "x").out == "acme-tools:x was not disabled\n"
