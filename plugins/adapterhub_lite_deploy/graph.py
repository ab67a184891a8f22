"""A whole encoder as one module from token ids to answers: what an ONNX graph is traced from."""

import inspect
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.inference.artifact import ArtifactInfo
from adapterhub_lite.pooling import Pooling, read_pooling

CERTAIN = 1000.0
"""Stands for an infinite logit: a label that every training row has, or none."""


class Answering(nn.Module):
    """Token ids (rows, tokens) to logits, embeddings or values (rows, outputs).

    ``pooling`` is of a bare transformer, ``head`` of a classifier on embeddings; ``unit`` turns a
    regression's output into the unit of its targets.
    """

    def __init__(
        self,
        model: Any,
        *,
        segments: bool,
        pooling: Pooling | None = None,
        head: nn.Module | None = None,
        unit: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        super().__init__()
        self.model, self.head = model, head
        self.segments, self.pooling, self.unit = segments, pooling, unit

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs, in their order."""
        return ("input_ids", "attention_mask", *(["token_type_ids"] if self.segments else []))

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Return (rows, outputs)."""
        given = dict(zip(self.names, inputs, strict=True))
        output = self.model(**given)
        if self.pooling is None:
            mean, deviation = self.unit
            logits: torch.Tensor = output.logits
            return logits if self.unit == (0.0, 1.0) else logits * deviation + mean
        found: torch.Tensor = self.pooling(output.last_hidden_state, given["attention_mask"])
        return found if self.head is None else self.head(found)


class LinearHead(nn.Module):
    """A logistic head; with one output for two classes its logit stands beside a zero."""

    def __init__(self, coef: torch.Tensor, intercept: torch.Tensor, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(coef.shape[1], coef.shape[0])
        self.linear.weight.data = coef.float()
        self.linear.bias.data = intercept.clip(-CERTAIN, CERTAIN).float()
        self.alone = coef.shape[0] < outputs

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return logits (rows, classes)."""
        found: torch.Tensor = self.linear(embeddings)
        return torch.cat([torch.zeros_like(found), found], dim=-1) if self.alone else found


def answering(model: Any, info: ArtifactInfo, folder: Path) -> Answering:
    """Return the module of a whole model's folder; raises CapabilityError for another head."""
    segments = _reads_segments(model)
    if info.task == "sentence-similarity":
        return Answering(model, segments=segments, pooling=read_pooling(folder)).eval()
    if info.task == "text-regression":
        told = json.loads((folder / "task.json").read_text(encoding="utf-8"))
        unit = (float(told["mean"]), float(told["deviation"]))
        return Answering(model, segments=segments, unit=unit).eval()
    if info.head.kind != "none":
        return Answering(model, segments=segments).eval()
    if not (folder / "head.safetensors").is_file():
        raise CapabilityError(
            f"the head of the objective {info.objective!r} is not known to this target",
            hint="take hf or setfit",
        )
    tensors = load_file(folder / "head.safetensors")
    head = LinearHead(tensors["coef"], tensors["intercept"], len(info.head.labels))
    return Answering(model, segments=segments, pooling=read_pooling(folder), head=head).eval()


def _reads_segments(model: Any) -> bool:
    """Say whether a model tells first and second texts apart by their tokens' types."""
    takes = "token_type_ids" in inspect.signature(model.forward).parameters
    return takes and int(getattr(model.config, "type_vocab_size", 0) or 0) > 1
