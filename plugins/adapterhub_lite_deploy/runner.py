"""Ask an ONNX model: this file needs numpy, onnxruntime and tokenizers, and nothing else.

    python answer.py "a text" ["another" ...]

prints one line of JSON a text; from Python: ``Model(folder).predict(["a text"])``.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer


class Model:
    """The model, tokenizer and settings of one folder."""

    def __init__(self, folder: Path) -> None:
        self.settings: dict[str, Any] = json.loads(
            (folder / "settings.json").read_text(encoding="utf-8")
        )
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), providers=["CPUExecutionProvider"]
        )

    def outputs(self, inputs: Sequence[str | tuple[str, str]]) -> "NDArray[Any]":
        """Return logits (texts, labels), embeddings (texts, width) or values (texts, 1)."""
        encoded = self.tokenizer.encode_batch(list(inputs))
        given = {
            "input_ids": [one.ids for one in encoded],
            "attention_mask": [one.attention_mask for one in encoded],
            "token_type_ids": [one.type_ids for one in encoded],
        }
        wanted = [one.name for one in self.session.get_inputs()]
        found = self.session.run(None, {name: np.array(given[name]) for name in wanted})
        return np.asarray(found[0])

    def predict(self, inputs: Sequence[str | tuple[str, str]]) -> list[dict[str, Any]]:
        """Return for each input its labels and their probabilities, its embedding or its value."""
        return [self._record(row) for row in self.outputs(inputs).astype(float)]

    def _record(self, row: "NDArray[Any]") -> dict[str, Any]:
        labels = self.settings.get("labels")
        if labels is None:
            return {self.settings["output"]: row.tolist()}
        if self.settings["multi_label"]:
            shares = 1 / (1 + np.exp(-row))
            chosen = [one for one, p in zip(labels, shares, strict=True)
                      if p >= self.settings["threshold"]]  # fmt: skip
        else:
            shares = np.exp(row - row.max())
            shares = shares / shares.sum()
            chosen = [labels[int(shares.argmax())]]
        return {"labels": chosen, "probabilities": dict(zip(labels, shares.tolist(), strict=True))}


if __name__ == "__main__":
    for answer in Model(Path(__file__).parent).predict(sys.argv[1:]):
        sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
