"""Every cell that works: it learns, keeps the base, repeats itself, and comes back elsewhere."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.training.plan import Plan
from adapterhub_lite.training.results import TrainResult
from tests.matrix.cells import Cell
from tests.matrix.choice import cover
from tests.matrix.conftest import Lab, digests
from tests.matrix.fresh import flat, read
from tests.matrix.plain import answered, load_plainly
from tests.matrix.table import PAGE, working
from tests.matrix.watching import Seen

pytestmark = [
    pytest.mark.usefixtures("without_reports"),
    # FRoD multiplies by sparse matrices, of which torch says that it does not check them
    pytest.mark.filterwarnings("ignore:Sparse invariant:UserWarning"),
]
REARRANGED = {"osf"}
"""OSF takes the weights apart into what may change and what may not."""


ALL = os.environ.get("MATRIX") == "all"
WORKS = working(PAGE.read_text(encoding="utf-8"), get_catalogue(first_party_only=True))
CELLS = WORKS if ALL else cover(WORKS)
ONE_OF_EACH = {cell.variant.name: cell for cell in CELLS}.values()
REPEATED = set(CELLS if ALL else ONE_OF_EACH)
"""Cells that are trained twice; every variant has one."""


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_a_cell(lab: Lab, cell: Cell) -> None:
    watching = lab.watching()
    result = lab.train(cell, watching)
    folder = published(lab, result)
    spec = result.plan.method.spec

    steps = losses(result)
    if result.plan.trainable:
        third = len(steps) // 3
        assert np.mean(steps[-third:]) < np.mean(steps[:third])
    else:
        assert steps == []
    assert digests(lab.bench.folder / cell.architecture) == lab.bases[cell.architecture]
    if spec.name not in REARRANGED:
        keeps_what_does_not_learn(watching.seen)
    if spec.needs_base:
        holds_no_base_tensor(folder, lab.bench.folder / cell.architecture)
    if cell in REPEATED:
        again = published(lab, lab.train(cell, lab.catalogue))
        assert weights(again) == weights(folder)

    data, kind = lab.bench.rows(cell.objective), result.plan.objective.spec.rows
    assert watching.seen.outcome is not None
    expected = flat(watching.seen.outcome.scorer.score(read(data, kind)).scores)
    found = lab.elsewhere.scores(f"{cell.name}@1", data, kind)
    assert np.isfinite(expected).all()
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-5)

    if cell.variant.name in ("full", "lora"):
        loads_with_its_library(folder, result.plan, watching.seen)


def published(lab: Lab, result: TrainResult) -> Path:
    """Return the folder of the version that a run made."""
    assert result.version is not None
    return lab.registry.path(result.version)


def losses(result: TrainResult) -> list[float]:
    """Return the loss of each step."""
    lines = (result.folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    return [e["loss"] for e in events if e["event"] == "step" and e.get("stage") == "train"]


def keeps_what_does_not_learn(seen: Seen) -> None:
    """Compare the frozen parameters in memory with what was loaded; some methods rename a few."""
    frozen = seen.frozen()
    common = frozen.keys() & seen.loaded.keys()
    assert len(common) >= 0.5 * len(frozen)
    assert all(torch.equal(frozen[name], seen.loaded[name]) for name in common)


def holds_no_base_tensor(folder: Path, base: Path) -> None:
    """Check by values that an adapter's files hold nothing of the base's files."""
    own = [tensor for file in folder.glob("*.safetensors") for tensor in load_file(file).values()]
    others = load_file(base / "model.safetensors").values()
    assert own
    assert not {_values(tensor) for tensor in own} & {_values(other) for other in others}


def _values(tensor: torch.Tensor) -> bytes | int:
    """Return a tensor's bytes; one that is all zeros or all ones is nobody's own."""
    constant = tensor.numel() == 0 or bool((tensor == tensor.flatten()[0]).all())
    return id(tensor) if constant else tensor.numpy().tobytes()


def loads_with_its_library(folder: Path, plan: Plan, seen: Seen) -> None:
    """Compare what transformers or PEFT load with what was trained."""
    assert seen.attached is not None
    tokenizer, writes = seen.attached.tokenizer, plan.head.kind == "seq2seq-lm"
    expected = answered(seen.attached.model, tokenizer, writes=writes)
    found = answered(load_plainly(folder, plan), tokenizer, writes=writes)
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5)


def weights(folder: Path) -> dict[str, str]:
    """Return the hash of every file of weights."""
    return {Path(n).name: d for n, d in digests(folder).items() if n.endswith(".safetensors")}
