"""What an event of a run means, in plain words: for the terminal, the plan and the report."""

from collections.abc import Callable, Mapping
from typing import Any, Final

Event = Mapping[str, Any]


def notice(event: Event) -> str:
    """Return what a person should know of an event; nothing for events that only count."""
    words = _WORDS.get(event["event"])
    return words(event) if words else ""


def _texts_cut(event: Event) -> str:
    return (
        f"{event['count']:,} of {event['of']:,} texts reach {event['max_length']} tokens and are "
        "cut there; raise objective.max_length to see more of them"
    )


def _truncated(event: Event) -> str:
    words = (
        f"{event['rows']:,} of {event['of']:,} texts are longer than {event['max_length']} tokens "
        "and are cut there"
    )
    if "completions" in event:  # of dialogues, where cutting the prompt costs nothing to learn
        words += f"; {event['completions']:,} of them lose a part of the answer"
    return words


def _dropped(event: Event) -> str:
    return (
        f"{event['rows']:,} of {event['of']:,} dialogues are longer than {event['max_length']} "
        f"tokens and are left out; the longest has {event['longest']:,}"
    )


def _windows(event: Event) -> str:
    return (
        f"{event['rows']:,} rows are read in {event['windows']:,} windows, as some are longer than "
        "objective.max_length"
    )


def _words_without_token(event: Event) -> str:
    return f"{event['words']:,} words are unknown to the tokenizer, and their tags are not learnt"


def _answers_in_no_window(event: Event) -> str:
    return (
        f"{event['rows']:,} of {event['of']:,} answers lie in no window as a whole and are not "
        "learnt; raise objective.stride or objective.max_length"
    )


def _packed(event: Event) -> str:
    return f"{event['rows']:,} rows become {event['packs']:,} blocks"


def _resumed(event: Event) -> str:
    step = event["step"]
    return f"goes on after step {step:,}" if step else "there is no checkpoint: starts anew"


_WORDS: Final[Mapping[str, Callable[[Event], str]]] = {
    "texts-cut": _texts_cut,
    "truncated": _truncated,
    "dropped": _dropped,
    "windows": _windows,
    "words-without-token": _words_without_token,
    "answers-in-no-window": _answers_in_no_window,
    "packed": _packed,
    "resumed": _resumed,
}
