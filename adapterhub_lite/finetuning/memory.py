"""Less memory while training, and what to say when it is not enough."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from adapterhub_lite.errors import CapabilityError, TrainingError
from adapterhub_lite.finetuning.params import TrainerParams

_CPU_MESSAGES = ("DefaultCPUAllocator", "can't allocate memory", "not enough memory")


@contextmanager
def explaining_memory(hint: str) -> Iterator[None]:
    """Turn running out of memory into a TrainingError whose hint says what to lower."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        raise TrainingError("out of memory", hint=hint) from error


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(text in str(error) for text in _CPU_MESSAGES)


def way_out(params: TrainerParams) -> str:
    """Return what lowers the memory of a training with these settings."""
    ways = ["a smaller max_length", "method: lora with loader: nf4"]
    if not params.gradient_checkpointing:
        ways.insert(0, "gradient_checkpointing: true")
    if params.batch_size > 1:
        half = params.batch_size // 2
        accumulation = -(-params.batch_size // half) * params.gradient_accumulation
        ways.insert(0, f"batch_size: {half} with gradient_accumulation: {accumulation}")
    return f"try {', '.join(ways[:-1])}, or {ways[-1]}"


@contextmanager
def training_mode(model: nn.Module, params: TrainerParams) -> Iterator[None]:
    """Train inside; afterwards the model is in evaluation mode and holds no gradient.

    Decoders keep no cache of keys and values meanwhile. Gradient checkpointing is the
    non-reentrant kind, which needs no gradient at the embeddings' output; transformers asks for one
    all the same, for the other kind, and would go back through every layer when only the last ones
    learn, and go on asking after the training. Raises CapabilityError where a model has none.
    """
    if params.gradient_checkpointing:
        _enable_checkpointing(model)
    config = getattr(model, "config", None)
    cached = getattr(config, "use_cache", None)
    if cached is not None:
        config.use_cache = False  # type: ignore[union-attr]
    model.train()
    try:
        yield
    finally:
        if params.gradient_checkpointing:
            model.activation_checkpointing_disable()  # type: ignore[operator]
        if cached is not None:
            config.use_cache = cached  # type: ignore[union-attr]
        model.zero_grad(set_to_none=True)
        model.eval()


def _enable_checkpointing(model: nn.Module) -> None:
    enable: Any = getattr(model, "activation_checkpointing_enable", None)
    if enable is None or not getattr(model, "supports_gradient_checkpointing", True):
        raise CapabilityError(
            f"{type(model).__name__} cannot compute activations anew",
            hint="leave gradient_checkpointing out; a smaller batch_size saves memory too",
        )
    enable({"use_reentrant": False})
    model.disable_input_require_grads()  # type: ignore[operator]
