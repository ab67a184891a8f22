"""Text as a language model reads it on: opened as the tokenizer does, and not closed."""

from typing import Any

PROBE = "a"


def plain_tokens(tokenizer: Any, text: str) -> list[int]:
    """Return a text's tokens without those that a tokenizer puts around it."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def opening_tokens(tokenizer: Any) -> list[int]:
    """Return what a tokenizer puts in front of a text: mostly the beginning-of-text token."""
    around = list(tokenizer(PROBE)["input_ids"])
    inside = plain_tokens(tokenizer, PROBE)
    for at in range(len(around) - len(inside) + 1):
        if around[at : at + len(inside)] == inside:
            return around[:at]
    return []
