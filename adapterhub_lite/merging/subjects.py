"""A merged model as a strategy sees it that computes with data: module, head and inputs."""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.data.sections import read_section_inputs
from adapterhub_lite.errors import CapabilityError, DataError
from adapterhub_lite.inference.artifact import ArtifactInfo
from adapterhub_lite.inference.loading import load_model
from adapterhub_lite.merging.opening import Opened
from adapterhub_lite.merging.subject_rows import (
    KINDS,
    Batch,
    batches_of,
    max_length,
    tokenise,
)
from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite.recipes import validate
from adapterhub_lite.recipes.data import DataSection
from adapterhub_lite.specs import Head, ResolvedBase
from adapterhub_lite.streaming.prefixes import find_prefix
from adapterhub_lite.streaming.tensors import MergeTensor
from adapterhub_lite.transformer import load_tokenizer

BATCH: Final = 8
"""Rows of a batch."""
PRECISION: Final = "fp32"
"""The loader, whatever the model was trained in: the files' own numbers are merged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSubject:
    """A model in memory, in 32 bits and evaluation mode, an adapter merged into its base.

    ``parameters`` maps names of the output's tensors to the module's parameters, for those that
    the module has. Nothing of it requires grad.
    """

    ref: str
    head: Head
    module: nn.Module
    parameters: dict[str, str]
    features: Sequence[dict[str, list[int]]]
    pad: int
    device: torch.device

    def batches(self, examples: int, seed: int, size: int = BATCH) -> Iterator[Batch]:
        """Yield what the module is called with: at most ``examples`` rows, in the seed's order."""
        return batches_of(self.features, self.pad, examples, seed, size, self.device)

    def outputs(self, batch: Batch) -> torch.Tensor:
        """Return the head's outputs: (rows, labels), or (rows, tokens, vocabulary)."""
        logits: torch.Tensor = self.module(**batch).logits
        return logits


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A version of ours with rows to compute with; its weights are loaded when asked for."""

    ref: str
    info: ArtifactInfo
    folder: Path
    base: ResolvedBase
    items: Sequence[Any]
    max_length: int
    catalogue: Catalogue

    @property
    def head(self) -> Head:
        """What the model's outputs are."""
        return self.info.head

    def load(self, tensors: Sequence[MergeTensor]) -> LoadedSubject:
        """Load the model, its head included, to compute statistics of the output's ``tensors``.

        Raises CapabilityError when a tensor of the output has another shape than the model's own.
        """
        with torch.random.fork_rng(devices=[]):
            loaded = self._plain()
        device = tensors[0].device
        module = loaded.model.to(device).requires_grad_(False).eval()
        segments = _reads_segments(module)
        try:
            features = tokenise(loaded.tokenizer, self.items, self.max_length, segments=segments)
        except DataError as error:
            raise DataError(f"{self.ref}: {error.message}", hint=error.hint) from error
        return LoadedSubject(
            ref=self.ref,
            head=self.head,
            module=module,
            parameters=self._parameters(module, tensors),
            features=features,
            pad=int(loaded.tokenizer.pad_token_id or 0),
            device=device,
        )

    def _plain(self) -> LoadedBase:
        """Load a plain model: an adapter is merged into its base."""
        info = replace(self.info, loader=PRECISION, loader_params={})
        if info.base is None:
            return load_model(self.folder, info, self.base, self.catalogue, "cpu")
        spec = self.catalogue.loader(info.loader)
        params = validate(spec.params, {}, where="loader")
        base = self.catalogue.implementation(spec).load(self.base, info.head, params, "cpu")
        method = self.catalogue.implementation(self.catalogue.method(info.method))
        baked: LoadedBase = method.bake(base, self.folder)
        return replace(baked, tokenizer=load_tokenizer(self.folder))

    def _parameters(self, module: nn.Module, tensors: Sequence[MergeTensor]) -> dict[str, str]:
        own = dict(module.named_parameters(remove_duplicate=False))
        prefix = find_prefix([tensor.name for tensor in tensors], own)
        found = {}
        for tensor in tensors:
            name = prefix.renamed(tensor.name, own)
            if name not in own:
                continue
            if tuple(own[name].shape) != tensor.shape:
                raise CapabilityError(
                    f"{tensor.name!r} has the shape {tensor.shape} in the result and "
                    f"{tuple(own[name].shape)} in {self.ref}, which is to compute with it",
                    hint="merge models of one vocabulary, or by a strategy without data",
                )
            found[tensor.name] = name
        return found


def make_subject(opened: Opened, data: DataSection, catalogue: Catalogue, where: str) -> Subject:
    """Return a model with the rows of ``data``, which are read; ``where`` it stands in the recipe.

    Raises CapabilityError for a model that cannot be computed with, and what reading rows does.
    """
    info = opened.info
    if reason := _reason(opened, catalogue):
        raise CapabilityError(
            f"{opened.ref} cannot be computed with: {reason}",
            hint="merge it by a strategy without data: ahl strategies list",
        )
    assert info is not None, "its absence is a reason"
    folder = opened.adapter or opened.folder
    spec = catalogue.objective(info.objective)
    items = read_section_inputs(
        data,
        catalogue,
        rows=spec.rows,
        pairs=spec.pairs,
        where=f"{where}.data",
        reader="a merge",
    )
    return Subject(
        ref=opened.ref,
        info=info,
        folder=folder,
        base=ResolvedBase(ref=opened.ref, path=str(opened.folder), source="path"),
        items=items,
        max_length=max_length(folder, opened.config),
        catalogue=catalogue,
    )


def _reason(opened: Opened, catalogue: Catalogue) -> str:
    """Return why a model cannot be computed with; empty when it can."""
    info = opened.info
    if info is None:
        return "it is no version of this project's, so its task is not known"
    rows = catalogue.objective(info.objective).rows
    if rows not in KINDS:
        return f"rows of {rows} are not read for a merge"
    if opened.config.get("is_encoder_decoder"):
        return "it is an encoder-decoder"
    if opened.adapter is not None and "bake" not in catalogue.method(info.method).capabilities:
        return f"an adapter of {info.method!r} cannot be merged into its base"
    return ""


def _reads_segments(module: nn.Module) -> bool:
    """Say whether a model tells the texts of a pair apart; GPT-2 takes token types as words."""
    config: Any = module.config
    accepted = inspect.signature(module.forward).parameters
    return "token_type_ids" in accepted and getattr(config, "type_vocab_size", 0) > 1
