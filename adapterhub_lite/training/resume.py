"""Which recipe and rows a run's folder belongs to, so that only the same run goes on there."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.bases import fingerprint
from adapterhub_lite.errors import RecipeError
from adapterhub_lite.specs import Adapter

if TYPE_CHECKING:
    from adapterhub_lite.training.plan import Plan

IDENTITY_FILE = "run.json"


def write_identity(folder: Path, plan: "Plan") -> None:
    """Write what the run in ``folder`` is of: its recipe, and hashes of its rows and its base."""
    text = json.dumps(_identity(plan), indent=2, ensure_ascii=False) + "\n"
    (folder / IDENTITY_FILE).write_text(text, encoding="utf-8")


def resumed_folder(folder: Path, plan: "Plan") -> Path:
    """Return the folder of an interrupted run; raises RecipeError when it is of another recipe."""
    folder = folder.expanduser()
    try:
        stored = json.loads((folder / IDENTITY_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise RecipeError(
            f"{folder} is not the folder of a run",
            field="resume",
            hint="the runs of this home are in its folder runs/; each says its own when it fails",
        ) from None
    now = json.loads(json.dumps(_identity(plan)))
    if stored != now:
        where = ", ".join(_differences(stored, now)) or "its form"
        raise RecipeError(
            f"the run in {folder} is of another recipe: {where} differs",
            field="resume",
            hint="resume with the recipe that the run was started with, or start a new run",
        )
    return folder


def has_checkpoints(folder: Path) -> bool:
    """Say whether a run's folder holds a complete checkpoint to go on from."""
    return any(folder.glob("seed-*/checkpoints/step-*"))


def _identity(plan: "Plan") -> dict[str, Any]:
    return {
        "recipe": plan.resolved_recipe(),
        "rows": dict(plan.data.fingerprints),
        "base": asdict(fingerprint(plan.base)),
        "adapters": {one.ref: _weights(one) for one in plan.method.params.named_adapters()},
    }


def _weights(adapter: Adapter) -> list[str]:
    """Hash what an adapter has learnt: a folder is not what it was because it is called so."""
    files = sorted(adapter.folder.glob("*.safetensors"))
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


def _differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Return the dotted paths at which two JSON values differ."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return [path] if one != other else []
    keys = [*one, *(key for key in other if key not in one)]
    return [
        found
        for key in keys
        for found in _differences(one.get(key), other.get(key), f"{path}.{key}".lstrip("."))
    ]
