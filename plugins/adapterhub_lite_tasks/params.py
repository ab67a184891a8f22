"""What each objective can be told, beside what every training can."""

from typing import Literal, Self

from pydantic import Field, model_validator

from adapterhub_lite.finetuning.params import TrainerParams


class TextParams(TrainerParams):
    """For objectives that read a text, or a pair of texts."""

    max_length: int = Field(
        default=256, ge=8, le=1_000_000, description="Longest input, in tokens; cut beyond."
    )


class ClassificationParams(TextParams):
    """How a classifier is trained."""

    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the target spread evenly over all labels."
    )
    class_weights: Literal["none", "balanced"] = Field(
        default="none",
        description="balanced: a label counts the more the rarer it is in the training rows.",
    )
    resample: Literal["none", "balanced"] = Field(
        default="none",
        description="balanced: training rows are drawn so that each label comes as often.",
    )
    threshold: float = Field(
        default=0.5, gt=0, lt=1, description="Probability from which a label counts (multi-label)."
    )

    @model_validator(mode="after")
    def _one_correction(self) -> Self:
        if self.class_weights == "balanced" == self.resample:
            raise ValueError("class_weights and resample correct the same thing: choose one")
        return self


class TaggingParams(TrainerParams):
    """How a tagger is trained."""

    max_length: int = Field(
        default=256,
        ge=8,
        le=1_000_000,
        description="Longest window, in tokens; longer rows are read in several.",
    )


class RegressionParams(TextParams):
    """How a regressor is trained."""

    loss: Literal["mse", "mae", "huber"] = Field(
        default="mse", description="Error of the standardised targets: squared, absolute, Huber's."
    )


class QuestionParams(TrainerParams):
    """How extractive question answering is trained."""

    max_length: int = Field(
        default=384,
        ge=32,
        le=1_000_000,
        description="Longest window, in tokens, with the question.",
    )
    stride: int = Field(
        default=128, ge=0, le=100_000, description="Tokens that neighbouring windows share."
    )
    no_answer: Literal["auto", "yes", "no"] = Field(
        default="auto",
        description="Whether a context may not tell; auto: where a training row has no answer.",
    )
    null_threshold: float = Field(
        default=0.0,
        description="How much better than the best span no answer has to score, in logits.",
    )
    n_best: int = Field(default=20, ge=1, le=1000, description="Starts and ends that are paired.")
    max_answer_length: int = Field(
        default=30, ge=1, le=10_000, description="Longest answer, in tokens."
    )

    @model_validator(mode="after")
    def _stride_fits(self) -> Self:
        if self.stride > self.max_length // 3:
            raise ValueError("stride is at most a third of max_length")
        return self


class GenerationParams(TrainerParams):
    """For objectives whose models write text."""

    max_new_tokens: int = Field(
        default=128, ge=1, le=100_000, description="Longest text that is generated, in tokens."
    )
    num_beams: int = Field(default=1, ge=1, le=64, description="Beams of the search; 1: greedy.")
    sampling_temperature: float = Field(
        default=0.0, ge=0, le=10, description="Temperature of sampling; 0 samples nothing."
    )
    top_p: float = Field(
        default=1.0, gt=0, le=1, description="Share of the probability that sampling draws from."
    )

    @model_validator(mode="after")
    def _beams_or_samples(self) -> Self:
        if self.num_beams > 1 and self.sampling_temperature > 0:
            raise ValueError("num_beams and sampling_temperature exclude each other: choose one")
        return self


class CausalParams(GenerationParams):
    """How a language model reads on in raw text."""

    block_size: int = Field(
        default=512,
        ge=8,
        le=1_000_000,
        description="Tokens in a block; documents are joined by the end token and cut into blocks.",
    )


class SftParams(GenerationParams):
    """How a language model learns to answer."""

    max_length: int = Field(
        default=1024, ge=8, le=1_000_000, description="Longest dialogue, in tokens."
    )
    too_long: Literal["error", "drop", "truncate"] = Field(
        default="error",
        description="What is done with longer ones: refuse to train, leave them out, or cut the "
        "prompt from the left and then the completion from the right; always counted.",
    )
    min_prompt: int = Field(
        default=16, ge=1, le=100_000, description="Prompt tokens that cutting leaves at least."
    )
    template: str = Field(
        default="tokenizer",
        min_length=1,
        description="Chat template: the tokenizer's own, chatml, plain, a file, or jinja text.",
    )
    learn: Literal["assistant", "last", "all"] = Field(
        default="assistant",
        description="Tokens that are learnt: all assistant turns, the last one, or everything.",
    )
    packing: bool = Field(
        default=False,
        description="Put several dialogues into one row; they do not read each other.",
    )
    score_generations: bool = Field(
        default=False,
        description="Also generate when scoring, for metrics of the text; takes time.",
    )

    @model_validator(mode="after")
    def _room_for_completion(self) -> Self:
        if self.min_prompt > self.max_length // 2:
            raise ValueError("min_prompt is at most half of max_length")
        return self


class Seq2SeqParams(GenerationParams):
    """How one text is turned into another."""

    max_source_length: int = Field(
        default=512, ge=8, le=1_000_000, description="Longest source, in tokens; cut beyond."
    )
    max_target_length: int = Field(
        default=128, ge=2, le=1_000_000, description="Longest target, in tokens; cut beyond."
    )
    prefix: str = Field(
        default="", description='Put before every source, as in "summarize: "; kept in the version.'
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the target spread over the vocabulary."
    )
    score_generations: bool = Field(
        default=True, description="Also generate when scoring, for BLEU, chrF and ROUGE."
    )


class EmbeddingParams(TextParams):
    """How sentence embeddings are trained."""

    loss: Literal["auto", "in-batch-negatives", "cosent", "cosine"] = Field(
        default="auto",
        description="auto: in-batch negatives, or CoSENT where rows have values; cosine: the "
        "squared error of the cosine.",
    )
    contrast_temperature: float = Field(
        default=0.05, gt=0, le=10, description="Divides the cosines (in-batch negatives, CoSENT)."
    )
    batch_size: int = Field(
        default=32, ge=2, le=16_384, description="Rows of a batch: each other's negatives."
    )
