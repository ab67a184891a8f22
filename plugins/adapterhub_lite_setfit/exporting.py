"""A version of ours becomes a folder that plain SetFit loads, with the same probabilities."""

import json
import shutil
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import LabelBinarizer

from adapterhub_lite.architecture import weight_files
from adapterhub_lite.bases import TOKENIZER_FILES
from adapterhub_lite.errors import CapabilityError, SelfTestError
from adapterhub_lite.inference.artifact import read_artifact_info
from adapterhub_lite.pooling import write_pooling
from adapterhub_lite.specs import Head, ResolvedBase
from adapterhub_lite.transformer import load_transformer, quiet_transformers
from adapterhub_lite_setfit.head import LogisticHead, rebuild
from adapterhub_lite_setfit.objective import Contrastive, FewShotScorer
from adapterhub_lite_setfit.staging import PICKLED_HEAD

MODEL_FILES = ("config.json", "model.safetensors.index.json", *TOKENIZER_FILES)
CERTAIN = 1000.0
"""An intercept whose probability is exactly 1, and of whose opposite exactly 0."""

TOLERANCE = 1e-5
"""The libraries pad batches differently, which a head with large weights makes visible."""

PROBES = (
    "Where is my parcel?",
    "I would like to cancel the order that I placed yesterday, and get my money back.",
    "a",
    "a text that is longer than any limit " * 100,
)


class SetFitExporter:
    """Writes what ``SetFitModel.from_pretrained`` reads, and checks what was written."""

    def export(self, folder: Path, destination: Path, base: ResolvedBase | None) -> None:
        """Write ``destination``, an empty folder, from a version's folder.

        Raises CapabilityError for a version that SetFit has no form for, SelfTestError when
        sentence-transformers gives other probabilities for the written folder.
        """
        info = read_artifact_info(folder)
        if (info.method, info.objective) != ("full", "contrastive"):
            raise CapabilityError(
                f"a version made by method {info.method!r} and objective {info.objective!r} has no "
                "form in SetFit",
                hint="export a version that was trained with preset: setfit",
            )
        loaded = load_transformer(folder, Head(), torch.float32, "cpu")
        scorer = Contrastive().load(loaded, folder)
        _copy_model(folder, destination)
        write_pooling(scorer.encoder.pooling, scorer.encoder.width, destination)
        _write_settings(scorer, destination)
        # Beside the pickle the head lies in our own files, which ahl import reads instead.
        scorer.head.save(destination)
        classifier = sklearn_head(scorer.head)
        joblib.dump(classifier, destination / PICKLED_HEAD)
        _compare(scorer, classifier, destination)


def sklearn_head(head: LogisticHead) -> Any:
    """Return the head as SetFit keeps one: over label numbers, multi-label one against the rest."""
    if not head.multi_label:
        return rebuild(head.coef, head.intercept, np.arange(len(head.classes)))
    model = OneVsRestClassifier(LogisticRegression())
    model.estimators_ = [
        rebuild(coef[None, :], np.array([intercept]), np.array([0, 1]))
        for coef, intercept in zip(head.coef, head.intercept.clip(-CERTAIN, CERTAIN), strict=True)
    ]
    binarizer = LabelBinarizer()
    binarizer.y_type_, binarizer.sparse_input_ = "multilabel-indicator", False
    binarizer.classes_ = np.arange(len(head.classes))
    model.label_binarizer_ = binarizer
    return model


def _copy_model(folder: Path, destination: Path) -> None:
    """Copy config, weights and tokenizer as they are, links of the store resolved."""
    names = [name for name in MODEL_FILES if (folder / name).is_file()]
    for name in [*names, *(file.name for file in weight_files(folder, str(folder)))]:
        shutil.copyfile(folder / name, destination / name)


def _write_settings(scorer: FewShotScorer, destination: Path) -> None:
    """Write what SetFit and sentence-transformers want to know beside the model."""
    settings: dict[str, dict[str, Any]] = {
        "config_setfit.json": {"normalize_embeddings": False, "labels": list(scorer.classes)},
        "config_sentence_transformers.json": {
            "model_type": "SentenceTransformer",
            "prompts": {},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
        "sentence_bert_config.json": {
            "max_seq_length": scorer.encoder.max_length,
            "do_lower_case": False,
        },
    }
    for name, values in settings.items():
        text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
        (destination / name).write_text(text, encoding="utf-8")


def _compare(scorer: FewShotScorer, classifier: Any, destination: Path) -> None:
    """Score some texts with sentence-transformers on the written folder, and with our own code."""
    from sentence_transformers import SentenceTransformer

    with quiet_transformers():
        body = SentenceTransformer(str(destination), device="cpu", local_files_only=True)
        embeddings = body.encode(list(PROBES), show_progress_bar=False)
    found = np.asarray(classifier.predict_proba(embeddings))
    difference = float(np.abs(found - scorer.predict_proba(PROBES)).max(initial=0.0))
    if not difference <= TOLERANCE:  # NaN is refused too
        raise SelfTestError(
            f"sentence-transformers gives probabilities that differ by up to {difference:.1e}",
            hint="nothing was exported; please report this",
        )
