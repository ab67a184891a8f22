"""Ask a model the same twice: before and after something that must not change its answers."""

from typing import Any, Final

import torch

TOKENS: Final = 8


@torch.no_grad()
def answers(model: Any) -> torch.Tensor:
    """Return a model's outputs for a few fixed random tokens, in 32-bit floating point."""
    config = model.config
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, config.vocab_size, (2, TOKENS), generator=generator)
    if isinstance(end := getattr(config, "eos_token_id", None), int):
        # some encoder-decoders read the sentence off its end token, and want exactly one
        tokens[tokens == end] = (end + 1) % config.vocab_size
        tokens[:, -1] = end
    tokens = tokens.to(next(model.parameters()).device)
    inputs = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    if config.is_encoder_decoder:
        inputs["decoder_input_ids"] = tokens
    output: torch.Tensor = model(**inputs)[0]
    return output.float().cpu()


def difference(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the largest difference, relative to the largest value; infinite if not finite."""
    if first.shape != second.shape or not bool(second.isfinite().all()):
        return float("inf")
    scale = float(first.abs().max()) or 1.0
    return float((first - second).abs().max()) / scale
