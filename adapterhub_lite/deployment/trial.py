"""What is imported answers before it is published."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from adapterhub_lite.architecture import read_headers
from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import SelfTestError
from adapterhub_lite.inference.artifact import ArtifactInfo
from adapterhub_lite.inference.interface import interface_of, predictor_of
from adapterhub_lite.inference.loading import load_model
from adapterhub_lite.inference.predictor import Predictor
from adapterhub_lite.predictions import Embedded, Prediction, Valued
from adapterhub_lite.protocols import GenerationOptions, LoadedBase, WritingScorer
from adapterhub_lite.specs import ResolvedBase, Task
from adapterhub_lite.transformer import load_tokenizer

PROBES: Final = ("Where is my parcel?", "a")
TASK_PROBES: Final[Mapping[Task, Sequence[Any]]] = {
    "token-classification": (("Where", "is", "Ada"), ("a",)),
    "question-answering": (("Where is it?", "It is here."),),
}
"""What a model is tried with whose task takes no plain texts."""
WRITES: Final = ("a",)
ONE_TOKEN: Final = GenerationOptions(max_new_tokens=1)
"""A model that writes is asked for one token after a short text: that reads every weight."""


def load_as_stored(
    folder: Path, info: ArtifactInfo, base: ResolvedBase, catalogue: Catalogue
) -> LoadedBase:
    """Load what will be published, a whole model of bfloat16 by the loader bf16.

    Its weights are then mapped and not converted, which would take twice their memory.
    """
    is_whole = info.base is None
    if is_whole and {one.dtype for one in read_headers(folder, folder.name).values()} == {"BF16"}:
        info = replace(info, loader="bf16", loader_params={})
    return load_model(folder, info, base, catalogue, "cpu")


def try_out(
    folder: Path,
    info: ArtifactInfo,
    base: ResolvedBase,
    loaded: LoadedBase,
    labels: tuple[str, ...],
    catalogue: Catalogue,
) -> None:
    """Ask what :func:`load_as_stored` loaded, with all else read from the folder.

    Raises SelfTestError unless it answers, a classifier with a finite number for each label.
    """
    try:
        answers = _answers(folder, info, loaded, labels, catalogue)
    except RuntimeError:  # an operation that is not there in that precision: as it will be loaded
        loaded = load_model(folder, info, base, catalogue, "cpu")
        answers = _answers(folder, info, loaded, labels, catalogue)
    if not answers:
        raise SelfTestError(
            "the imported model does not answer with a finite number for each label",
            hint="nothing was published",
        )


def _answers(
    folder: Path,
    info: ArtifactInfo,
    loaded: LoadedBase,
    labels: tuple[str, ...],
    catalogue: Catalogue,
) -> bool:
    objective = catalogue.implementation(catalogue.objective(info.objective))
    scorer = objective.load(replace(loaded, tokenizer=load_tokenizer(folder)), folder)
    predictor = predictor_of(scorer, str(folder), interface_of(info, catalogue))
    return predictor.classes in ((), labels) and _is_finite(predictor)


def _is_finite(predictor: Predictor) -> bool:
    import numpy as np

    if predictor.task == "text-classification":
        return bool(np.isfinite(predictor.predict_proba(PROBES)).all())
    if isinstance(predictor.scorer, WritingScorer):
        return bool(predictor.predict(WRITES, options=[ONE_TOKEN]))
    answers = predictor.predict(TASK_PROBES.get(predictor.task, PROBES))
    return bool(answers) and all(map(_is_number, answers))


def _is_number(answer: Prediction) -> bool:
    import numpy as np

    match answer:
        case Valued():
            return bool(np.isfinite(answer.value))
        case Embedded():
            return bool(np.isfinite(answer.vector).all())
        case _:
            return True
