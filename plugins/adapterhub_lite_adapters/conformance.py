"""How the conformance kit checks the importer: by a folder as ``save_adapter`` writes one."""

import json
from pathlib import Path
from typing import Final

from adapterhub_lite.specs import ConformanceCase

NAME: Final = "tiny"


def write_folder(folder: Path) -> None:
    """Write what AdapterHub saves of a bottleneck on a tiny BERT, with a head, into ``folder``."""
    import torch
    from safetensors.torch import save_file

    about = {"model_type": "bert", "model_name": "tiny", "name": NAME, "version": "adapters.1.3.0"}
    head = {"head_type": "classification", "layers": 2, "activation_function": "tanh"}
    method = {"mh_adapter": False, "original_ln_before": True, "reduction_factor": 16}
    for name, config in (("adapter_config.json", method), ("head_config.json", head)):
        text = json.dumps({**about, "config": config})
        (folder / name).write_text(text, encoding="utf-8")
    parts = {"adapter_down.0": (2, 32), "adapter_up": (32, 2)}
    bottlenecks = {
        f"bert.encoder.layer.{layer}.output.adapters.{NAME}.{part}": shape
        for layer in range(3)
        for part, shape in parts.items()
    }
    layers = {f"heads.{NAME}.1": (32, 32), f"heads.{NAME}.4": (2, 32)}
    for file, shapes in (("adapter", bottlenecks), ("model_head", layers)):
        weights = {f"{name}.weight": torch.full(shape, 0.1) for name, shape in shapes.items()}
        biases = {f"{name}.bias": torch.zeros(shape[0]) for name, shape in shapes.items()}
        save_file({**weights, **biases}, folder / f"{file}.safetensors")


CASES: Final = (
    ConformanceCase(
        kind="importer",
        name="adapters",
        params={"example": f"{__name__}:{write_folder.__name__}"},
    ),
)
