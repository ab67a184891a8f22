"""What the objectives share: rows of their kind, labels, the outcome of a training."""

from collections.abc import Collection, Sequence
from typing import Any, TypeVar, cast

import torch
from torch import nn

from adapterhub_lite.data.examples import Examples
from adapterhub_lite.data.table import RowSet
from adapterhub_lite.errors import CapabilityError, DataError, IntegrityError
from adapterhub_lite.finetuning.learner import Feature, Learner
from adapterhub_lite.finetuning.loop import Fitted
from adapterhub_lite.protocols import LoadedBase, Outcome, Scorer, TrainingData
from adapterhub_lite_tasks.batching import answering
from adapterhub_lite_tasks.inputs import call, device_of, inner_model

E = TypeVar("E")


def items_of(rows: RowSet, kind: type[E]) -> Sequence[E]:
    """Return the rows as examples of ``kind``; the core has matched kinds before."""
    assert isinstance(rows, Examples), "these rows are examples"
    assert all(isinstance(item, kind) for item in rows.items), "rows are of the objective's kind"
    return cast(Sequence[E], rows.items)


def outcome_of(scorer: Scorer, fitted: Fitted, **found: Any) -> Outcome:
    """Return the outcome of a training: the fine-tuned model, and the score that chose its step."""
    selection = next(iter(fitted.validation.values()), None)
    return Outcome(
        scorer=scorer,
        baseline=None,
        kept="fine-tuned",
        reason=fitted.reason,
        selection=selection,
        candidates={} if selection is None else {"fine-tuned": selection},
        hyperparameters={
            "steps": fitted.steps,
            "epochs": fitted.epochs,
            "best_step": fitted.best_step,
            "learning_rate": fitted.learning_rate,
            **found,
        },
    )


def refuse_unknown_labels(data: TrainingData, labels: Collection[str]) -> None:
    """Refuse rows with labels that the head does not have."""
    for rows in (data.train, data.validation):
        unknown = sorted(set(rows.classes) - set(labels)) if rows else []
        if unknown:
            raise DataError(
                f"{len(unknown)} labels are not the model's, the first {unknown[0]!r}",
                hint="give every label a training row",
            )


def require_labels(base: LoadedBase, labels: Sequence[str]) -> None:
    """Refuse a reloaded model whose outputs are named otherwise than ``task.json`` says."""
    named = inner_model(base.model).config.id2label
    found = [named[number] for number in sorted(named)]
    if found != list(labels):
        raise IntegrityError(f"the model has the labels {found}, and task.json {list(labels)}")


def refuse_if_padding_shows(
    model: nn.Module, learner: Learner, features: Sequence[Feature]
) -> None:
    """Refuse a model whose answer to a row depends on the padding after it.

    Soft prompts do that to decoders: called with embeddings, transformers takes the last position
    for the last word. Raises CapabilityError.
    """
    by_length = sorted(features[:256], key=lambda feature: feature["length"])
    if not by_length or by_length[0]["length"] == by_length[-1]["length"]:
        return
    short, long = by_length[0], by_length[-1]
    with answering(model):
        alone = _logits(model, learner, [short])[0]
        beside = _logits(model, learner, [short, long])[0]
    if not alike(model, alone, beside):
        raise CapabilityError(
            "with this method the model reads the padding after a text",
            hint="take the method lora or prefix, or an encoder",
        )


def _logits(model: nn.Module, learner: Learner, features: Sequence[Feature]) -> torch.Tensor:
    batch = learner.collate(features)
    device = device_of(model)
    logits = call(model, {name: tensor.to(device) for name, tensor in batch.items()}).logits
    return cast(torch.Tensor, logits.double())


def alike(model: nn.Module, one: torch.Tensor, other: torch.Tensor) -> bool:
    """Say whether two outputs are the same but for rounding in the model's precision."""
    exact = all(p.dtype in (torch.float32, torch.float64) for p in model.parameters())
    scale = float(one.abs().max())
    return float((one - other).abs().max()) <= (1e-3 if exact else 0.1) * scale
