"""What a person can say about gradient descent; objectives subclass it with what is theirs."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from adapterhub_lite.specs import Params

Schedule = Literal["linear", "cosine", "constant", "polynomial", "inverse-sqrt"]
OptimiserName = Literal["adamw", "adafactor", "adamw-8bit", "sgd"]
PrecisionName = Literal["fp32", "bf16", "fp16"]
TrackerName = Literal["trackio", "tensorboard", "wandb"]

WITHOUT_EFFECT: Final = frozenset({"log_every", "checkpoint_every", "report_to"})
"""Parameters that change no weight: a run may be resumed with other values of them."""


class TrainerParams(Params):
    """How weights are learnt. The defaults are those of the Hugging Face Trainer."""

    epochs: float = Field(
        default=3.0, gt=0, le=10_000, description="Passes over the training rows; may be a part."
    )
    max_steps: int | None = Field(
        default=None, ge=1, le=100_000_000, description="Optimiser steps, instead of epochs."
    )
    batch_size: int = Field(
        default=8, ge=1, le=16_384, description="Rows that go through the model at once."
    )
    gradient_accumulation: int = Field(
        default=1,
        ge=1,
        le=16_384,
        description="Batches whose gradients make one step; equals a batch that much bigger.",
    )
    learning_rate: float | None = Field(
        default=None, gt=0, le=10, description="Peak learning rate; left out, the method's own."
    )
    schedule: Schedule = Field(
        default="linear", description="How the learning rate falls after the warm-up."
    )
    warmup: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the steps over which the rate rises from 0."
    )
    weight_decay: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="Decay of matrices; biases, norms, scales and soft prompts never decay.",
    )
    optimizer: OptimiserName = Field(
        default="adamw", description="AdamW, Adafactor, AdamW with 8-bit state (bitsandbytes), SGD."
    )
    max_grad_norm: float = Field(
        default=1.0, ge=0, le=1_000_000, description="Gradients are clipped to this norm; 0: never."
    )
    precision: PrecisionName = Field(
        default="fp32", description="Mixed precision of the forward pass; fp16 needs a GPU."
    )
    gradient_checkpointing: bool = Field(
        default=False, description="Compute activations anew going back: less memory, more time."
    )
    evaluate_every: Literal["epoch"] | Annotated[int, Field(ge=1)] = Field(
        default="epoch", description='Score the validation rows every "epoch" or so many steps.'
    )
    early_stopping: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Stop after so many evaluations without a gain; 0: never.",
    )
    min_delta: float = Field(
        default=0.0, ge=0, description="How much better a validation score must be to be a gain."
    )
    keep_best: bool = Field(
        default=True,
        description="Keep the weights of the best evaluation, not the last; "
        "matters where there are validation rows.",
    )
    checkpoint_every: int = Field(
        default=0, ge=0, description="Steps between checkpoints to resume from; 0: none."
    )
    curriculum: str | None = Field(
        default=None,
        min_length=1,
        description='First epoch from easy to hard, by "length" or a column of scores; '
        "later epochs are shuffled.",
    )
    group_by_length: bool = Field(
        default=False, description="Batch rows of similar length: less padding, less shuffled."
    )
    temperature: float = Field(
        default=1.0,
        ge=1,
        le=1000,
        description="Mixing of several data sets: shares by size to the power 1/temperature.",
    )
    shares: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default={}, description="Mixing of several data sets by fixed shares, one for each."
    )
    log_every: int = Field(default=1, ge=1, description="Steps between points of the curves.")
    report_to: tuple[TrackerName, ...] = Field(
        default=(), description="Trackers that get the curves too: trackio, tensorboard, wandb."
    )

    @model_validator(mode="after")
    def _one_order(self) -> Self:
        if self.curriculum is not None and self.group_by_length:
            raise ValueError("curriculum and group_by_length both decide the order: choose one")
        if self.shares and self.temperature != 1:
            raise ValueError("shares and temperature both decide the mixture: choose one")
        return self

    def that_matter(self) -> dict[str, Any]:
        """Return the parameters that decide which weights come out, as JSON values."""
        return self.model_dump(mode="json", exclude=set(WITHOUT_EFFECT))
