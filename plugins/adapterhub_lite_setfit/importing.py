"""A folder that SetFit wrote becomes a version of ours, with the same probabilities."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from adapterhub_lite.architecture import Architecture, read_architecture
from adapterhub_lite.bases import fingerprint
from adapterhub_lite.deployment.model_folders import told
from adapterhub_lite.errors import BaseModelError, CapabilityError
from adapterhub_lite.inference.artifact import ArtifactInfo, write_artifact_info
from adapterhub_lite.protocols import ImportOptions, LoadedBase, Outcome
from adapterhub_lite.specs import Head, ResolvedBase
from adapterhub_lite.transformer import load_transformer, quiet_transformers
from adapterhub_lite_setfit import ContrastiveParams
from adapterhub_lite_setfit.convert import MAX_CLASSES, RawHead, convert_pickle
from adapterhub_lite_setfit.encoder import make_encoder
from adapterhub_lite_setfit.foreign import ForeignSettings, read_settings
from adapterhub_lite_setfit.head import CONFIG_FILE, LogisticHead, load_head
from adapterhub_lite_setfit.objective import Contrastive, FewShotScorer
from adapterhub_lite_setfit.staging import PICKLED_HEAD, stage


@dataclass(frozen=True, slots=True)
class _ReadHead:
    """A head, and for the manifest where it came from."""

    head: LogisticHead
    origin: Mapping[str, Any]


class SetFitImporter:
    """Reads what ``SetFitModel.save_pretrained`` wrote; a pickled head only when asked to."""

    def read(self, source: Path, destination: Path, options: ImportOptions) -> Mapping[str, Any]:
        """Write a version's files into ``destination``; return the manifest fields.

        Raises BaseModelError for a folder that is no such model or not understood, and
        CapabilityError for a pickled head without ``options.convert``.
        """
        ref = str(source)
        with TemporaryDirectory() as folder:
            staged = Path(folder)
            with _refusing_nonsense(ref):
                stage(source, staged, convert=options.convert)
                settings = read_settings(staged, ref)
                architecture = read_architecture(staged, ref)
                _check_architecture(architecture, ref)
                read = _read_head(staged, settings, ref, options.convert)
                _check_head(read.head, architecture, ref)
                base = load_transformer(staged, Head(), torch.float32, "cpu")
            _write(base, settings, read.head, destination)
            return _fields(source, staged, architecture, read)


@contextmanager
def _refusing_nonsense(ref: str) -> Iterator[None]:
    """Say of a folder whose JSON has the wrong types, or tensors the wrong shapes, that it has."""
    try:
        yield
    except (AttributeError, RuntimeError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BaseModelError(f"the model in {ref} does not load: {reason}", ref=ref) from error


def _check_architecture(architecture: Architecture, ref: str) -> None:
    """Refuse what is no encoder."""
    if architecture.family != "encoder":
        kind = architecture.model_type or "of unknown type"
        raise BaseModelError(f"the transformer of {ref} ({kind}) is no encoder", ref=ref)


def _read_head(folder: Path, settings: ForeignSettings, ref: str, convert: bool) -> _ReadHead:
    if (folder / CONFIG_FILE).is_file():
        return _ReadHead(load_head(folder), {"head": "safetensors"})
    if not (folder / PICKLED_HEAD).is_file():
        raise BaseModelError(
            f"{ref} has no head: neither {PICKLED_HEAD} nor {CONFIG_FILE}",
            ref=ref,
            hint="give a folder that SetFitModel.save_pretrained wrote after training",
        )
    if not convert:
        raise CapabilityError(
            f"{PICKLED_HEAD} is a pickle, and loading a pickle runs whatever is in it",
            hint="add --convert-pickle: its numbers are read by an isolated process, and nothing "
            "in it is run",
        )
    raw = convert_pickle(folder / PICKLED_HEAD)
    classes = _label_names(raw, settings.labels, ref)
    head = LogisticHead(classes, raw.multi_label, raw.coef, raw.intercept)
    origin = {"head": f"pickle of scikit-learn {raw.sklearn}", "isolation": raw.isolation}
    return _ReadHead(head, origin)


def _label_names(raw: RawHead, labels: tuple[str, ...], ref: str) -> tuple[str, ...]:
    """Name the head's outputs as SetFit does: its strings, else the labels at its numbers."""
    if raw.multi_label:
        numbers = range(len(raw.coef))
        if labels and len(labels) != len(raw.coef):
            raise BaseModelError(f"{ref} has {len(labels)} labels for {len(raw.coef)}", ref=ref)
        return labels or tuple(map(str, numbers))
    if not labels or any(isinstance(name, str) for name in raw.classes):
        return tuple(map(str, raw.classes))
    places = [place for place in raw.classes if isinstance(place, int)]
    if not all(0 <= place < len(labels) for place in places):
        raise BaseModelError(f"the head of {ref} has classes that have no label", ref=ref)
    return tuple(labels[place] for place in places)


def _check_head(head: LogisticHead, architecture: Architecture, ref: str) -> None:
    """Refuse what does not fit; a head in our own files is a stranger's here, too."""
    names = set(head.classes)
    if not (1 <= len(names) == len(head.classes) <= MAX_CLASSES and all(map(str.strip, names))):
        raise BaseModelError(f"the labels of {ref} are not distinct names", ref=ref)
    if head.coef.shape[1] != architecture.hidden_size:
        raise BaseModelError(
            f"the head of {ref} takes {head.coef.shape[1]} numbers, and its encoder gives "
            f"{architecture.hidden_size}",
            ref=ref,
        )
    constant = np.isinf(head.intercept) & head.multi_label
    if not (np.isfinite(head.coef).all() and (np.isfinite(head.intercept) | constant).all()):
        raise BaseModelError(f"the head of {ref} has weights that are not finite", ref=ref)


def _write(
    base: LoadedBase, settings: ForeignSettings, head: LogisticHead, destination: Path
) -> None:
    """Write our own files from what was understood; no file of the source is taken over."""
    wanted = settings.max_length or base.tokenizer.model_max_length
    encoder = make_encoder(base, settings.pooling, wanted)
    threshold: float = ContrastiveParams().threshold
    scorer = FewShotScorer(encoder, head, threshold)
    with quiet_transformers():
        base.model.save_pretrained(destination)
        base.tokenizer.save_pretrained(destination)
    outcome = Outcome(scorer, None, kept="imported", reason="imported", selection=None)
    Contrastive().save(outcome, destination)
    info = ArtifactInfo(
        task="text-classification",
        method="full",
        objective="contrastive",
        head=Head(labels=head.classes),
    )
    write_artifact_info(destination, info)


def _fields(
    source: Path, folder: Path, architecture: Architecture, read: _ReadHead
) -> dict[str, Any]:
    """Return what the manifest says; not the base's hashes: here is only what became of it."""
    marks = fingerprint(ResolvedBase(ref=str(source), path=str(folder), source="path"))
    return {
        "kind": "model",
        "base": {
            "ref": told(folder, "base_model") or source.resolve().name,
            "arch": architecture.model_type,
            "hidden": architecture.hidden_size,
            "layers": architecture.layers,
        },
        "license": told(folder, "license"),
        "signature": {"inputs": ["text"], "labels": list(read.head.classes)},
        "hyperparameters": {
            "imported_from": "setfit",
            "source": {
                "folder": source.resolve().name,
                "config_sha256": marks.config,
                "weights_sha256": marks.weights,
                "tokenizer_sha256": marks.tokenizer,
            },
            **read.origin,
        },
    }
