"""Merges by statistics of the models on rows of data: Fisher information, inputs of layers.

Statistics are held in memory as 32-bit floats, of one loaded model after the other.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
from torch import nn
from torch.nn.functional import logsigmoid
from transformers.pytorch_utils import Conv1D

from adapterhub_lite.errors import MergeError
from adapterhub_lite.merging.subjects import LoadedSubject, Subject
from adapterhub_lite.specs import Head
from adapterhub_lite.streaming.tensors import Chunk, MergeTensor

EXACT_LABELS: Final = 10
"""Up to so many labels the expectation over them is a sum; over more, one is drawn for a row."""

NEGLIGIBLE: Final = 1e-9
"""What part of a row's largest eigenvalue is taken for rounding."""

Information = Mapping[str, torch.Tensor]


class Fisher:
    """θ = Σ wᵢFᵢθᵢ / Σ wᵢFᵢ with the diagonal Fisher information (Matena & Raffel, 2022).

    F is the expected one: of labels as the model itself predicts them. A tensor that a model's
    outputs do not depend on has the floor, which alone makes the weighted mean.
    """

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Have nothing to say."""
        return []

    def check_subjects(self, subjects: Sequence[Subject]) -> Sequence[str]:
        """Refuse models whose outputs are no distribution over labels, values or tokens."""
        return [
            f"the outputs of {subject.ref} are no distribution over labels, values or tokens"
            for subject in subjects
            if subject.head.kind != "causal-lm" and not subject.head.problem
        ]

    def prepare_with_data(
        self, tensors: Sequence[MergeTensor], subjects: Sequence[Subject], params: Any
    ) -> list[Information]:
        """Return each model's information, by the names of the output's tensors."""
        return [_information(subject.load(tensors), tensors, params) for subject in subjects]

    def merge(self, tensor: MergeTensor) -> None:
        """Write the mean of each chunk, weighted number by number."""
        for chunk in tensor.chunks():
            total, weights = self._weighted(tensor, chunk, 0)
            for number in range(1, len(tensor.origins)):
                values, own = self._weighted(tensor, chunk, number)
                total.add_(values)
                weights.add_(own)
            chunk.write(total.div_(weights))

    def _weighted(
        self, tensor: MergeTensor, chunk: Chunk, number: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a model's numbers times their weights, and the weights."""
        values = chunk.model(number)
        known = tensor.prepared[number].get(tensor.name)
        weights = torch.full_like(values, tensor.params.floor)
        if known is not None:
            torch.clamp(
                known[chunk.start : chunk.stop].to(values.device),
                min=tensor.params.floor,
                out=weights,
            )
        weights.mul_(tensor.model_params[number].weight)
        return values.mul_(weights), weights


def _information(
    loaded: LoadedSubject, tensors: Sequence[MergeTensor], params: Any
) -> dict[str, torch.Tensor]:
    """Return E (∇ log p(y|x))², the mean over rows, flat, with a root mean square of 1 if asked."""
    own = dict(loaded.module.named_parameters(remove_duplicate=False))
    named = {name: own[inner].requires_grad_() for name, inner in loaded.parameters.items()}
    found = {name: torch.zeros_like(value) for name, value in named.items()}
    generator = torch.Generator().manual_seed(tensors[0].seed)
    for module in loaded.module.modules():
        if isinstance(module, nn.Embedding):
            module.sparse = True  # a row of data touches a few of its rows
    rows = 0
    for batch in loaded.batches(params.examples, tensors[0].seed, size=1):
        rows += 1
        for score in scores(loaded.head, loaded.outputs(batch)[0], generator):
            gradients = torch.autograd.grad(
                score, list(named.values()), retain_graph=True, allow_unused=True
            )
            for total, gradient in zip(found.values(), gradients, strict=True):
                _add_square(total, gradient)
    sizes = sum(total.numel() for total in found.values())
    squares = sum(float(total.double().square().sum()) for total in found.values())
    if not 0 < squares < float("inf"):
        raise MergeError(
            f"{loaded.ref} has no Fisher information that could be weighted with: its outputs do "
            "not change with its weights on these rows, or are not finite",
            hint="give other rows, or merge by a strategy without data",
        )
    divisor = (squares / sizes) ** 0.5 if params.normalize else float(rows)
    return {name: total.div_(divisor).flatten() for name, total in found.items()}


def _add_square(total: torch.Tensor, gradient: torch.Tensor | None) -> None:
    if gradient is None:
        return
    if gradient.is_sparse:
        touched = gradient.coalesce()
        total.index_add_(0, touched.indices()[0], touched.values().square())
    else:
        total.addcmul_(gradient, gradient)


def scores(head: Head, logits: torch.Tensor, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Yield numbers of which the squared gradients sum to the information of one row's outputs.

    With more than a few labels, and with tokens, they do so in expectation over a draw. A value
    is the mean of a normal distribution of variance 1.
    """
    if head.problem == "regression":
        yield from logits
    elif head.problem == "multi-label":
        yield from _independent(logits, generator)
    elif head.kind == "causal-lm" or len(logits) > EXACT_LABELS:
        chances = logits.log_softmax(-1).reshape(-1, logits.shape[-1])
        drawn = _draw(chances.detach().exp(), generator)
        yield chances.gather(1, drawn.to(chances.device)).sum()
    else:
        chances = logits.detach().double().softmax(-1)
        # One backward pass less than there are labels: in logits it is diag(p) - ppᵀ = Σ vvᵀ.
        values, vectors = torch.linalg.eigh(chances.diag() - chances.outer(chances))
        roots = (vectors * values.clamp(min=0.0).sqrt()).T[values > NEGLIGIBLE * values[-1]]
        yield from roots.to(logits.dtype) @ logits


def _independent(logits: torch.Tensor, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Yield the scores of labels that each apply or not; they do not depend on one another."""
    chances = logits.detach().sigmoid()
    if len(logits) <= EXACT_LABELS:
        yield from (chances * (1 - chances)).sqrt() * logits
        return
    drawn = torch.bernoulli(chances.cpu(), generator=generator).to(logits.device)
    yield (drawn * logsigmoid(logits) + (1 - drawn) * logsigmoid(-logits)).sum()


def _draw(chances: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.multinomial(chances.cpu(), 1, generator=generator)


@dataclass(frozen=True, slots=True)
class Layer:
    """What a linear layer was called with: XᵀX per row of data.

    ``transposed`` layers store their weights as (inputs, outputs).
    """

    gram: torch.Tensor
    transposed: bool


class RegMean:
    """W = (Σ Gᵢ)⁻¹ Σ GᵢWᵢ for linear layers, the mean for all else (Jin et al., 2023).

    Padding is no input. A matrix that is also an embedding is averaged: it is no layer alone.
    """

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        """Have nothing to say."""
        return []

    def check_subjects(self, subjects: Sequence[Subject]) -> Sequence[str]:
        """Have nothing to say: every model has linear layers."""
        return []

    def prepare_with_data(
        self, tensors: Sequence[MergeTensor], subjects: Sequence[Subject], params: Any
    ) -> dict[str, list[Layer]]:
        """Return each model's inputs of the layers that all models have, by the layer's weight."""
        found = [_layers(subject.load(tensors), params, tensors[0].seed) for subject in subjects]
        common = [name for name in found[0] if all(name in layers for layers in found)]
        return {name: [layers[name] for layers in found] for name in common}

    def merge(self, tensor: MergeTensor) -> None:
        """Write the regression's solution, computed in 64 bits, or the mean."""
        layers: list[Layer] | None = tensor.prepared.get(tensor.name)
        if layers is None:
            for chunk in tensor.chunks():
                total = chunk.model(0)
                for number in range(1, len(tensor.origins)):
                    total.add_(chunk.model(number))
                chunk.write(total.div_(len(tensor.origins)))
            return
        whole = tensor.whole()
        turned = layers[0].transposed
        weights = (whole.model(number) for number in range(len(layers)))
        merged = _regression(
            [layer.gram.to(tensor.device) for layer in layers],
            (weight if turned else weight.T for weight in weights),
            tensor.name,
        )
        whole.write((merged if turned else merged.T).float().contiguous())


def _regression(
    grams: Sequence[torch.Tensor], weights: Iterator[torch.Tensor], name: str
) -> torch.Tensor:
    """Return (Σ Gᵢ)⁻¹ Σ GᵢWᵢ of weights (inputs, outputs), in 64 bits.

    An input that is zero on all rows says nothing of its weights: they are averaged.
    """
    silent = sum(gram.diagonal() for gram in grams) == 0
    total: Any = 0
    products: Any = 0
    for gram, weight in zip(grams, weights, strict=True):
        own = gram.double()
        own.diagonal()[silent] = 1.0
        total = total + own
        products = products + own @ weight.double()
    root, failed = torch.linalg.cholesky_ex(total)
    if failed:
        raise MergeError(
            f"the inputs of {name!r} do not decide its weights",
            tensor=name,
            hint="give more rows, or lower off_diagonal (0.95 is usual)",
        )
    return torch.cholesky_solve(products, root)


def _layers(loaded: LoadedSubject, params: Any, seed: int) -> dict[str, Layer]:
    """Return XᵀX of every linear layer, per row of data, shrunk off its diagonal."""
    recorder = _Recorder()
    outer = {inner: name for name, inner in loaded.parameters.items()}
    embeddings = {id(m.weight) for m in loaded.module.modules() if isinstance(m, nn.Embedding)}
    hooks, turned = [], {}
    for path, module in loaded.module.named_modules():
        name = outer.get(f"{path}.weight")
        if name is None or not isinstance(module, nn.Linear | Conv1D):
            continue
        if id(module.weight) not in embeddings:
            turned[name] = isinstance(module, Conv1D)
            hooks.append(module.register_forward_pre_hook(partial(recorder, name)))
    rows = 0
    with torch.no_grad():
        for batch in loaded.batches(params.examples, seed):
            recorder.mask = batch["attention_mask"].bool()
            rows += len(recorder.mask)
            loaded.module(**batch)
    for hook in hooks:
        hook.remove()
    for gram in recorder.grams.values():
        diagonal = gram.diagonal().clone()
        gram.mul_(params.off_diagonal / rows).diagonal().copy_(diagonal / rows)
    return {name: Layer(gram, turned[name]) for name, gram in recorder.grams.items()}


class _Recorder:
    """Sums XᵀX of what layers are called with, padding left out."""

    def __init__(self) -> None:
        self.grams: dict[str, torch.Tensor] = {}
        self.mask = torch.ones(0, 0, dtype=torch.bool)

    def __call__(self, name: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Add a layer's inputs."""
        values = inputs[0].float()
        if values.dim() > 2 and values.shape[:2] == self.mask.shape:
            values = values[self.mask]
        values = values.reshape(-1, values.shape[-1])
        if name not in self.grams:
            width = values.shape[-1]
            self.grams[name] = torch.zeros(width, width, device=values.device)
        self.grams[name].addmm_(values.T, values)
