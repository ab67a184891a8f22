"""Which member an input goes to: what a rule reads of it, and the rule that goes by words."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from adapterhub_lite.protocols import Member

Rule = Callable[[Sequence[Any]], list[int]]
"""From inputs to the number of the member that answers each; no input depends on another."""


def by_words(members: Sequence[Member], default: int) -> Rule:
    """Return the rule: the first member of whose words one stands in the text, whole; any case."""
    patterns = [
        re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in words), re.IGNORECASE)
        if (words := member.params.words)
        else None
        for member in members
    ]

    def choose(text: str) -> int:
        found = (number for number, p in enumerate(patterns) if p is not None and p.search(text))
        return next(found, default)

    return lambda inputs: [choose(text_of(item)) for item in inputs]


def text_of(item: Any) -> str:
    """Return an input's text: of several texts all, of messages the user's last."""
    if isinstance(item, str):
        return item
    if all(isinstance(part, str) for part in item):
        return " ".join(item)
    asked = [message for message in item if message.get("role") == "user"] or list(item)
    return str(asked[-1].get("content") or "")
