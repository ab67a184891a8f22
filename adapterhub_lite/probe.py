"""Ask a model the same twice: before and after something that must not change its answers."""

from collections.abc import Mapping
from typing import Any, Final

import torch

TOKENS: Final = 8


@torch.no_grad()
def answers(model: Any, inputs: Mapping[str, torch.Tensor] | None = None) -> torch.Tensor:
    """Return a model's outputs, in 32-bit floating point, for inputs by their names.

    Without any it is asked a few fixed random tokens.
    """
    asked = _drawn(model.config) if inputs is None else inputs
    device = next(model.parameters()).device
    output: torch.Tensor = model(**{name: value.to(device) for name, value in asked.items()})[0]
    return output.float().cpu()


def _drawn(config: Any) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, config.vocab_size, (2, TOKENS), generator=generator)
    if isinstance(end := getattr(config, "eos_token_id", None), int):
        # some encoder-decoders read the sentence off its end token, and want exactly one
        tokens[tokens == end] = (end + 1) % config.vocab_size
        tokens[:, -1] = end
    inputs = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    if config.is_encoder_decoder:
        inputs["decoder_input_ids"] = tokens
    return inputs


def difference(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the largest difference, relative to the largest value; infinite if not finite."""
    if first.shape != second.shape or not bool(second.isfinite().all()):
        return float("inf")
    scale = float(first.abs().max()) or 1.0
    return float((first - second).abs().max()) / scale
