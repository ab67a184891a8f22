"""my-plugin hears of what is published, and of nothing else."""

from pathlib import Path

import pytest
from my_plugin import VARIABLE

from adapterhub_lite.plugins import load_catalogue


def test_a_published_version_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = tmp_path / "journal.jsonl"
    monkeypatch.setenv(VARIABLE, str(journal))
    catalogue = load_catalogue()
    catalogue.run_event({"event": "step", "done": 1})
    catalogue.run_event({"event": "published", "version": "tickets@1"})
    assert journal.read_text(encoding="utf-8") == '{"version": "tickets@1"}\n'
