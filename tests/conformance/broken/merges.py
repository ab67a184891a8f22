"""Merge strategies with one fault each."""

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field

from adapterhub_lite.merging.adapters.lowrank import concatenate
from adapterhub_lite.specs import MergeSpec, Params
from adapterhub_lite.streaming.factors import Compressed, Factors
from adapterhub_lite.streaming.tensors import Chunk, MergeTensor
from tests.conformance.broken.entries import Broken


class Weight(Params):
    weight: float = Field(default=1.0, description="How much it counts")


class Sound:
    """The mean of the models; what is broken derives from it."""

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        return []

    def merge(self, tensor: MergeTensor) -> None:
        for chunk in tensor.chunks():
            chunk.write(self.merged(tensor, chunk))

    def merged(self, tensor: MergeTensor, chunk: Chunk) -> torch.Tensor:
        return torch.stack(chunk.models).mean(0)


class NeverPrepares(Sound):
    def prepare(self, tensors: Sequence[MergeTensor]) -> None:
        """Be written for "whole-model", which the spec does not declare."""


class ReturnsText(Sound):
    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        return ""


class Fails(Sound):
    def merge(self, tensor: MergeTensor) -> None:
        raise ValueError("not today")


class DividesByNothing(Sound):
    def merged(self, tensor: MergeTensor, chunk: Chunk) -> torch.Tensor:
        weights = [model.weight for model in tensor.model_params]
        total = sum(model * weight for model, weight in zip(chunk.models, weights, strict=True))
        return torch.as_tensor(total) / sum(weights)


class AtMostFour(Sound):
    def merged(self, tensor: MergeTensor, chunk: Chunk) -> torch.Tensor:
        coefficients = {1: 1.0, 2: 0.5, 3: 1 / 3, 4: 0.25}
        return torch.stack(chunk.models).sum(0) * coefficients[len(chunk.models)]


class ShrinksOne(Sound):
    def merged(self, tensor: MergeTensor, chunk: Chunk) -> torch.Tensor:
        mean = super().merged(tensor, chunk)
        return mean * 0.9 if len(chunk.models) == 1 else mean


class Sums(Sound):
    def merged(self, tensor: MergeTensor, chunk: Chunk) -> torch.Tensor:
        return torch.stack(chunk.models).sum(0)


class PrefersTheFirst(Sound):
    def merged(self, tensor: MergeTensor, chunk: Chunk) -> torch.Tensor:
        first = chunk.model(0)
        return (first + torch.stack(chunk.models).sum(0)) / (len(chunk.models) + 1)


class TakesTheLargest(Sound):
    def merged(self, tensor: MergeTensor, chunk: Chunk) -> torch.Tensor:
        return torch.stack(chunk.models).amax(0)


class ChoosesByTheBase(Sound):
    """Adds, at each place, the task vector of the model that is farthest from twice the base."""

    def merged(self, tensor: MergeTensor, chunk: Chunk) -> torch.Tensor:
        models = torch.stack(chunk.models)
        chosen = (models - 2 * chunk.base).abs().argmax(0, keepdim=True)
        return models.gather(0, chosen)[0]


class FourthPowers(Sound):
    def merged(self, tensor: MergeTensor, chunk: Chunk) -> torch.Tensor:
        mean = super().merged(tensor, chunk)
        return mean.sign() * torch.stack(chunk.models).pow(4).mean(0).pow(0.25)


class CountsRows(Sound):
    def merge(self, tensor: MergeTensor) -> None:
        assert not tensor.shape or tensor.size // tensor.shape[0]
        super().merge(tensor)


class ClampsInputs(Sound):
    def merge(self, tensor: MergeTensor) -> None:
        for origin in tensor.origins:
            origin.source.raw(origin.name).clamp_(-0.25, 0.25)
        super().merge(tensor)


class WritesTwice(Sound):
    def merge(self, tensor: MergeTensor) -> None:
        super().merge(tensor)
        super().merge(tensor)


class LooksAtChunks(Sound):
    def merged(self, tensor: MergeTensor, chunk: Chunk) -> torch.Tensor:
        models = torch.stack(chunk.models)
        return models.mean(0) + models.var(0, correction=0).mean()


class DrawsInSecret(Sound):
    def merged(self, tensor: MergeTensor, chunk: Chunk) -> torch.Tensor:
        models = torch.stack(chunk.models)
        return models.mean(0) + chunk.keep_mask(0, 0.5) * models.var(0, correction=0)


class ReadsAllAtOnce(Sound):
    def merge(self, tensor: MergeTensor) -> None:
        whole = tensor.whole()
        whole.write(self.merged(tensor, whole))


class Stacks:
    """Stacks factors without a look at their shapes."""

    def check(self, params: Any, models: Sequence[Any]) -> Sequence[str]:
        return []

    def merge_factors(
        self, factors: Sequence[Factors], params: Any, models: Sequence[Any], rank: Any
    ) -> Compressed:
        share = 1 / len(factors)
        up = torch.cat([part.up * part.scaling * share for part in factors], dim=1)
        return Compressed(Factors(torch.cat([part.down for part in factors]), up), 0.0)


class StacksTheFirst(Stacks):
    """Counts the first update alone, with a weight that none has."""

    def merge_factors(
        self, factors: Sequence[Factors], params: Any, models: Sequence[Any], rank: Any
    ) -> Compressed:
        weights = [2.0, *[1.0] * (len(factors) - 1)]
        shares = [weight / sum(weights) for weight in weights]
        return Compressed(concatenate(factors, shares), 0.0)


class IgnoresData(Sound):
    def check_subjects(self, subjects: Sequence[Any]) -> Sequence[str]:
        return []

    def prepare_with_data(self, tensors: Any, subjects: Any, params: Any) -> None:
        """Look at no row."""


def _broken(fault: str, found: type, check: str, says: str, **spec: Any) -> Broken:
    expected = spec.pop("expected", {})
    return Broken(
        fault=fault,
        kind="strategy",
        spec=MergeSpec(
            name="broken",
            summary="A mean with a fault.",
            formula="?",
            implementation=f"{__name__}:{found.__name__}",
            **{"base": "unused", **spec},
        ),
        check=check,
        says=says,
        expected=expected,
    )


ON_PURPOSE = {
    "check_one_model_is_returned": "clamped",
    "check_identical_models_are_returned": "clamped",
}

BROKEN = (
    _broken(
        "prepares what it does not declare",
        NeverPrepares,
        "check_offers_what_it_declares",
        "would never call",
    ),
    _broken(
        "names a parameter twice",
        Sound,
        "check_parameter_names",
        "both have weight",
        params=Weight,
        model_params=Weight,
    ),
    _broken("gives reasons as text", ReturnsText, "check_check_returns_reasons", "returned str"),
    _broken("cannot merge", Fails, "check_merges", "not today"),
    _broken(
        "divides by weights that cancel",
        DividesByNothing,
        "check_weights_that_cancel",
        "not finite",
        model_params=Weight,
    ),
    _broken("takes fewer than it says", AtMostFour, "check_number_of_models", "5 models cannot"),
    _broken("shrinks one model", ShrinksOne, "check_one_model_is_returned", "is not returned"),
    _broken("sums", Sums, "check_identical_models_are_returned", "are not returned"),
    _broken(
        "prefers the first",
        PrefersTheFirst,
        "check_order_of_models",
        "the order of the models matters",
        capabilities=frozenset({"commutative"}),
    ),
    _broken(
        "is not linear",
        TakesTheLargest,
        "check_linearity",
        "not the sum of its parts",
        capabilities=frozenset({"linear"}),
    ),
    _broken(
        "adds what depends on the base",
        ChoosesByTheBase,
        "check_delta",
        "depends on the base's own numbers",
        base="needed",
        capabilities=frozenset({"delta"}),
    ),
    _broken("needs no base", Sound, "check_base", "no use of its base", base="needed"),
    _broken("overflows", FourthPowers, "check_extreme_numbers", "huge numbers"),
    _broken("fails on empty tensors", CountsRows, "check_shapes", "ZeroDivisionError"),
    _broken(
        "stacks without a look",
        Stacks,
        "check_mismatched_factors",
        "RuntimeError, not MergeError",
        capabilities=frozenset({"low-rank"}),
    ),
    _broken(
        "prefers the first update",
        StacksTheFirst,
        "check_order_of_models",
        "the order of the models matters",
        capabilities=frozenset({"low-rank", "commutative"}),
    ),
    _broken(
        "changes its inputs",
        ClampsInputs,
        "check_inputs_are_unmodified",
        "changed model 1",
        expected=ON_PURPOSE,
    ),
    _broken(
        "writes twice", WritesTwice, "check_every_number_is_written_once", "written more than once"
    ),
    _broken(
        "depends on chunks",
        LooksAtChunks,
        "check_result_is_the_same_in_any_run",
        "depends on chunks",
    ),
    _broken("draws in secret", DrawsInSecret, "check_seed", "'random' is not declared"),
    _broken(
        "declares a draw and makes none",
        Sound,
        "check_seed",
        "though it declares 'random'",
        capabilities=frozenset({"random"}),
    ),
    _broken(
        "reads all at once",
        ReadsAllAtOnce,
        "check_whole_tensor_is_declared",
        "'whole-tensor' is not declared",
    ),
    _broken(
        "ignores its data",
        IgnoresData,
        "check_data_is_used",
        "other rows give the same result",
        capabilities=frozenset({"needs-data", "whole-model"}),
    ),
)
