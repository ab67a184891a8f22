"""An ONNX folder answers in a process that has no torch."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from adapterhub_lite import api
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite_registry import Registry

Trained = Callable[[str], str]
TEXTS = ["the apple is sweet", "a heavy drill", "apple " * 200]
BLOCKED = (
    "import sys, runpy\n"
    "for name in ('torch', 'transformers', 'onnx', 'adapterhub_lite', 'sklearn'):\n"
    "    sys.modules[name] = None\n"
    "script = sys.argv[1]\n"
    "sys.argv = sys.argv[1:]\n"
    "runpy.run_path(script, run_name='__main__')\n"
)


def test_it_runs_without_torch_and_answers_as_the_version(
    trained: Trained, registry: Registry, tmp_path: Path
) -> None:
    name = trained("few-lora")
    done = api.deploy(name, "onnx", out=tmp_path / "out", inputs=TEXTS, registry=registry)
    assert done.parity.difference <= 1e-4
    script = str(tmp_path / "out" / "answer.py")
    words = [sys.executable, "-c", BLOCKED, script, *TEXTS]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    ours = [one.record() for one in api.load(name, registry=registry).predict(TEXTS)]
    for line, record in zip(ran.stdout.splitlines(), ours, strict=True):
        found = json.loads(line)
        assert found["labels"] == record["labels"]
        assert found["probabilities"] == pytest.approx(record["probabilities"], abs=1e-5)
    assert str(Path(__file__).parents[3]).encode() not in (tmp_path / "out/model.onnx").read_bytes()
    round_weights(tmp_path / "out")


def round_weights(folder: Path) -> None:
    """Weights of eight bits are smaller, and the graph still answers."""
    from adapterhub_lite_deploy import runner
    from adapterhub_lite_deploy.onnx_folder import _quantise

    before = (folder / "model.onnx").stat().st_size
    logits = runner.Model(folder).outputs(TEXTS)
    _quantise(folder / "model.onnx")
    assert (folder / "model.onnx").stat().st_size < before
    rounded = runner.Model(folder).outputs(TEXTS)
    assert 0 < abs(rounded - logits).max() < 2


def test_a_decoder_is_no_encoder(trained: Trained, registry: Registry, tmp_path: Path) -> None:
    from adapterhub_lite_deploy import OnnxParams
    from adapterhub_lite_deploy.onnx_folder import OnnxExporter

    folder = registry.path(registry.resolve(trained("chat")))
    api.deploy(str(folder), "hf", out=tmp_path / "whole", registry=registry)
    (tmp_path / "whole" / "adapterhub.json").write_text(
        json.dumps({"task": "text-generation", "method": "full", "objective": "sft"})
    )
    with pytest.raises(CapabilityError, match="holds encoders"):
        OnnxExporter().export(tmp_path / "whole", tmp_path, None, OnnxParams())
