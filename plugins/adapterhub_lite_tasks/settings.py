"""What scoring needs beyond the transformer: JSON in a version's folder, read strictly."""

import json
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapterhub_lite.errors import IntegrityError

TASK_FILE = "task.json"


class Settings(BaseModel):
    """Base of what an objective keeps: no unknown key, no conversion, no infinite number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ClassifierSettings(Settings):
    """A classifier's labels, in the order of its outputs.

    ``pairs``: whether it learnt from pairs of texts; None where that is not known.
    """

    objective: Literal["classification"] = "classification"
    labels: tuple[str, ...] = Field(min_length=1)
    multi_label: bool
    threshold: float = Field(gt=0, lt=1)
    max_length: int = Field(ge=1)
    pairs: bool | None = None


class TaggerSettings(Settings):
    """A tagger's tags, in the order of its outputs."""

    objective: Literal["tagging"] = "tagging"
    labels: tuple[str, ...] = Field(min_length=1)
    max_length: int = Field(ge=1)


class RegressorSettings(Settings):
    """The training targets' mean and standard deviation: outputs are in units of the latter.

    ``pairs``: whether it learnt from pairs of texts; None where that is not known.
    """

    objective: Literal["regression"] = "regression"
    mean: float
    deviation: float = Field(gt=0)
    max_length: int = Field(ge=1)
    pairs: bool | None = None


class QuestionSettings(Settings):
    """How windows are cut and spans chosen."""

    objective: Literal["question-answering"] = "question-answering"
    max_length: int = Field(ge=1)
    stride: int = Field(ge=0)
    no_answer: bool
    null_threshold: float
    n_best: int = Field(ge=1)
    max_answer_length: int = Field(ge=1)


class GenerationSettings(Settings):
    """How text is generated, and the tokens that end it."""

    max_new_tokens: int = Field(ge=1)
    num_beams: int = Field(ge=1)
    temperature: float = Field(ge=0)
    top_p: float = Field(gt=0, le=1)
    seed: int = Field(ge=0)
    stops: tuple[int, ...] = Field(min_length=1)


class CausalSettings(Settings):
    """A language model of raw text."""

    objective: Literal["causal-lm"] = "causal-lm"
    block_size: int = Field(ge=2)
    generation: GenerationSettings


class SftSettings(Settings):
    """A model that answers; its template is in ``chat.json``."""

    objective: Literal["sft"] = "sft"
    max_length: int = Field(ge=1)
    min_prompt: int = Field(ge=1)
    learn: Literal["assistant", "last", "all"]
    score_generations: bool


class ChatSettings(Settings):
    """A chat template, the SHA-256 of its text, and how an answer is generated.

    ``template`` is None for a model of plain prompts and completions.
    """

    template: str | None
    sha256: str | None
    generation: GenerationSettings


class Seq2SeqSettings(Settings):
    """What is put before a source, and how long source and target may be."""

    objective: Literal["seq2seq"] = "seq2seq"
    prefix: str
    max_source_length: int = Field(ge=1)
    max_target_length: int = Field(ge=1)
    score_generations: bool
    generation: GenerationSettings


class EmbeddingSettings(Settings):
    """How long a text may be; its pooling is in ``modules.json``."""

    objective: Literal["embedding"] = "embedding"
    max_length: int = Field(ge=1)


S = TypeVar("S", bound=Settings)


def write_settings(folder: Path, settings: Settings, file: str = TASK_FILE) -> None:
    """Write ``task.json``, or another file of settings."""
    text = json.dumps(settings.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    (folder / file).write_text(text, encoding="utf-8")


def read_settings(folder: Path, kind: type[S], file: str = TASK_FILE) -> S:
    """Read what :func:`write_settings` wrote; raises IntegrityError when it is anything else."""
    path = folder / file
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise IntegrityError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise IntegrityError(f"{path} does not parse: {place}: {first['msg']}") from error
