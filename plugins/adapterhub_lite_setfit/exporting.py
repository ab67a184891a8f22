"""A version of ours becomes a folder that plain SetFit loads, with the same probabilities."""

import json
import shutil
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import LabelBinarizer

from adapterhub_lite.architecture import weight_files
from adapterhub_lite.bases import TOKENIZER_FILES
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.inference.artifact import read_artifact_info
from adapterhub_lite.pooling import write_pooling
from adapterhub_lite.protocols import Questions, Tolerance
from adapterhub_lite.specs import Head, Params, ResolvedBase
from adapterhub_lite.transformer import load_transformer, quiet_transformers
from adapterhub_lite_setfit.head import LogisticHead, load_head, rebuild
from adapterhub_lite_setfit.objective import Contrastive, FewShotScorer
from adapterhub_lite_setfit.staging import PICKLED_HEAD

MODEL_FILES = ("config.json", "model.safetensors.index.json", *TOKENIZER_FILES)
CERTAIN = 1000.0
"""An intercept whose probability is exactly 1, and of whose opposite exactly 0."""


class SetFitExporter:
    """Writes what ``SetFitModel.from_pretrained`` reads."""

    def export(
        self, folder: Path, destination: Path, base: ResolvedBase | None, params: Params
    ) -> None:
        """Write ``destination``, an empty folder, from a version's folder.

        Raises CapabilityError for a version that SetFit has no form for.
        """
        info = read_artifact_info(folder)
        if info.objective != "contrastive":
            raise CapabilityError(
                f"a version made by the objective {info.objective!r} has no form in SetFit",
                hint="export a version that was trained with preset: setfit",
            )
        loaded = load_transformer(folder, Head(), torch.float32, "cpu")
        scorer = Contrastive().load(loaded, folder)
        _copy_model(folder, destination)
        write_pooling(scorer.encoder.pooling, scorer.encoder.width, destination)
        _write_settings(scorer, destination)
        # Beside the pickle the head lies in our own files, which ahl import reads instead.
        scorer.head.save(destination)
        joblib.dump(sklearn_head(scorer.head), destination / PICKLED_HEAD)

    def answers(self, destination: Path, asked: Questions, params: Params) -> list[NDArray[Any]]:
        """Embed by sentence-transformers, and decide by what the pickled head was made of.

        The pickle itself is never read: the folder may have been somewhere else since.
        """
        from sentence_transformers import SentenceTransformer

        with quiet_transformers():
            body = SentenceTransformer(str(destination), device="cpu", local_files_only=True)
            embeddings = body.encode(list(asked.inputs), show_progress_bar=False)
        head = load_head(destination)
        found = np.asarray(sklearn_head(head).predict_proba(embeddings))
        # of several labels each has a logit of its own, of one alone they stand to each other
        with np.errstate(divide="ignore"):
            logits = np.log(found) - (np.log1p(-found) if head.multi_label else 0.0)
        return list(logits)

    def tolerance(self, params: Params) -> Tolerance:
        """Return the default: the weights are the version's own."""
        return Tolerance()

    def usage(self, destination: Path) -> str:
        """Return a line of a shell."""
        load = f"SetFitModel.from_pretrained('{destination}')"
        program = f"from setfit import SetFitModel; print({load}(['a text']))"
        return f'python -c "{program}"'


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
