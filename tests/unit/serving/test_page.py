"""The page, in a real browser without a window."""

import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.unit.serving.running import Running

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_two_versions_are_compared_and_nothing_is_taken_for_html(
    shared: Running, tmp_path: Path
) -> None:
    text = "<img src=x onerror=alert(1)>"
    asked = urlencode({"text": text, "one": "tickets", "other": "embed"})
    shown = subprocess.run(
        [
            str(BROWSER),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path}",
            "--virtual-time-budget=5000",
            "--dump-dom",
            f"{shared.url}/#{asked}",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    body = shown.partition("<body>")[2].partition("<script>")[0]
    first, other = body.partition('id="answer-one"')[2].split('id="answer-other"')
    assert "tickets@1" in first
    assert "embed@1" in other.partition("</section>")[0]
    expected = shared.classify(text).json()["data"][0]
    assert f"{100 * expected['score']:.1f} %" in first
    assert "<progress" in first
    assert "<img" not in body
    assert "3 served" in body
