"""Task vectors whose coefficients are learnt from rows without labels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch.func import functional_call
from torch.nn.functional import logsigmoid

from adapterhub_lite.errors import MergeError
from adapterhub_lite.merging.subject_rows import Batch
from adapterhub_lite.merging.subjects import LoadedSubject, Subject
from adapterhub_lite.specs import Head
from adapterhub_lite.streaming.naming import LAYER, role_of
from adapterhub_lite.streaming.tensors import MergeTensor


class AdaMerging:
    """θ = θ₀ + Σ λᵢₗδᵢₗ where the models' own heads are most certain (Yang et al., 2024).

    A layer's tensors share a coefficient for each model; outside of the layers those of one role
    (embeddings, norm, head) do.
    """

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Have nothing to say."""
        return []

    def check_subjects(self, subjects: Sequence[Subject]) -> Sequence[str]:
        """Refuse models that are no classifiers: only those have an entropy over labels."""
        return [
            f"{subject.ref} has no head over labels, so its predictions have no entropy"
            for subject in subjects
            if subject.head.problem not in ("single-label", "multi-label")
        ]

    def prepare_with_data(
        self, tensors: Sequence[MergeTensor], subjects: Sequence[Subject], params: Any
    ) -> Mapping[str, tuple[float, ...]]:
        """Return the models' coefficients, by the names of tensors."""
        groups = {tensor.name: _group(tensor.name, params.wise) for tensor in tensors}
        numbers = {group: number for number, group in enumerate(dict.fromkeys(groups.values()))}
        learnt = torch.full((len(subjects), len(numbers)), params.initial)
        if params.steps:
            read = [_read(tensor, numbers[groups[tensor.name]]) for tensor in tensors]
            tasks = [subject.load(tensors) for subject in subjects]
            learnt = _learn(learnt, read, tasks, params, tensors[0].seed)
        columns = {name: learnt[:, numbers[group]].tolist() for name, group in groups.items()}
        return {name: tuple(column) for name, column in columns.items()}

    def merge(self, tensor: MergeTensor) -> None:
        """Write the base and the sum of the task vectors times their coefficients."""
        for chunk in tensor.chunks():
            result = chunk.base.clone()
            for number, coefficient in enumerate(tensor.prepared[tensor.name]):
                result.add_(chunk.delta(number), alpha=coefficient)
            chunk.write(result)


@dataclass(frozen=True, slots=True)
class _Read:
    """A tensor in memory: the base's numbers, the task vectors, and whose coefficients it takes."""

    name: str
    base: torch.Tensor
    deltas: Sequence[torch.Tensor]
    group: int

    def merged(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Return the merged tensor, as a leaf that requires grad."""
        result = self.base.clone()
        for delta, coefficient in zip(
            self.deltas, coefficients[:, self.group].tolist(), strict=True
        ):
            result.add_(delta, alpha=coefficient)
        return result.requires_grad_()


def _read(tensor: MergeTensor, group: int) -> _Read:
    whole = tensor.whole()
    deltas = [delta.reshape(tensor.shape) for delta in whole.deltas]
    return _Read(tensor.name, whole.base.reshape(tensor.shape), deltas, group)


def _group(name: str, wise: str) -> str:
    if wise == "task":
        return ""
    match = LAYER.match(name)
    return match[0] if match else role_of(name)


def _learn(
    coefficients: torch.Tensor,
    read: Sequence[_Read],
    tasks: Sequence[LoadedSubject],
    params: Any,
    seed: int,
) -> torch.Tensor:
    """Return coefficients (models, groups) after Adam's steps down the sum of entropies."""
    optimiser = torch.optim.Adam([coefficients], lr=params.learning_rate)
    batches = [_endless(task, params.examples, seed) for task in tasks]
    for step in range(1, params.steps + 1):
        coefficients.grad = torch.zeros_like(coefficients)
        for task, rows in zip(tasks, batches, strict=True):
            _add_gradient(coefficients, read, task, next(rows))
        if not bool(coefficients.grad.isfinite().all()):
            raise MergeError(
                f"the entropy's gradient is not finite at step {step}",
                hint="lower learning_rate",
            )
        optimiser.step()
    return coefficients


def _add_gradient(
    coefficients: torch.Tensor, read: Sequence[_Read], task: LoadedSubject, batch: Batch
) -> None:
    """Add ∂H/∂λᵢₗ = ⟨∂H/∂θₗ, δᵢₗ⟩ of one task: the graph holds no task vector."""
    used = [tensor for tensor in read if tensor.name in task.parameters]
    merged = [tensor.merged(coefficients) for tensor in used]
    placed = {task.parameters[t.name]: value for t, value in zip(used, merged, strict=True)}
    logits = functional_call(task.module, placed, kwargs=batch).logits
    gradients = torch.autograd.grad(entropy(task.head, logits), merged, allow_unused=True)
    assert coefficients.grad is not None, "it was set to zero"
    for tensor, gradient in zip(used, gradients, strict=True):
        if gradient is None:
            continue
        for number, delta in enumerate(tensor.deltas):
            coefficients.grad[number, tensor.group] += float((gradient * delta).sum())


def _endless(task: LoadedSubject, examples: int, seed: int) -> Iterator[Batch]:
    """Yield batches of the first ``examples`` rows in the seed's order, again and again."""
    for _ in count():
        yield from task.batches(examples, seed)


def entropy(head: Head, logits: torch.Tensor) -> torch.Tensor:
    """Return the mean entropy of predictions (rows, labels), in nats.

    Labels that each apply or not have the sum of their own entropies.
    """
    if head.problem == "multi-label":
        chances = logits.sigmoid()
        inner = chances * logsigmoid(logits) + (1 - chances) * logsigmoid(-logits)
    else:
        inner = logits.log_softmax(-1) * logits.softmax(-1)
    return -inner.sum(-1).mean()
