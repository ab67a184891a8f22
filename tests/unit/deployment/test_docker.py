"""What an image is built from runs without docker: each line of it is tried."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from adapterhub_lite import api
from adapterhub_lite_registry import Registry

Trained = Callable[[str], str]


def test_each_line_of_the_context_works(
    trained: Trained, registry: Registry, tmp_path: Path, monkeypatch: Any
) -> None:
    from adapterhub_lite.cli.root import cli

    out = tmp_path / "out"
    name = trained("few-lora")
    done = api.deploy(name, "docker", out=out, params={"name": "shop"}, registry=registry)
    assert done.parity.difference <= 1e-4
    lines = dict(
        line.split(" ", 1) for line in (out / "Dockerfile").read_text().splitlines() if line
    )
    requirements = [Requirement(line) for line in (out / "requirements.txt").read_text().split()]
    assert requirements[0].extras == {"serve"}
    assert all(str(one.specifier).startswith("==") for one in requirements)

    monkeypatch.chdir(out)  # WORKDIR, into which the bundle is copied
    monkeypatch.setenv("ADAPTERHUB_LITE_HOME", str(tmp_path / "home"))
    assert (out / lines["COPY"].split()[0]).is_file()
    words = shlex.split(lines["RUN"])
    assert words[:2] == ["ahl", "pull"]
    cli.main(words[1:], standalone_mode=False, prog_name="ahl")

    words = json.loads(lines["CMD"])
    assert words[:2] == ["ahl", "serve"]
    with cli.make_context("ahl", words[1:]) as root:
        serve = cli.get_command(root, "serve")
        assert serve is not None
    with serve.make_context("serve", words[2:], parent=root) as context:
        assert context.params["refs"] == ("shop",)
        assert (context.params["host"], context.params["port"]) == ("0.0.0.0", 8000)
    served = api.load(words[2], registry=api.open_registry(tmp_path / "home"))
    found = served.predict_proba(["a heavy drill"])
    ours = api.load(name, registry=registry).predict_proba(["a heavy drill"])
    assert found == pytest.approx(ours, abs=1e-5)
