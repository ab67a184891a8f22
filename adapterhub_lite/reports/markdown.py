"""Text as Markdown code, whatever is in it, and text that a terminal only shows."""

import re


def code(text: str) -> str:
    """Return text as Markdown code: no mark in it is markup, a backtick neither."""
    longest = longest_run(text)
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}" if longest else f"`{text}`"


def cell(text: str) -> str:
    """Return text as code in a table, where a bar would end the cell."""
    return code(text.replace("|", "\\|"))


def longest_run(text: str) -> int:
    """Return the length of the longest run of backticks: a fence has to be longer."""
    return max((len(run) for run in re.findall("`+", text)), default=0)


def printable(text: str) -> str:
    """Return text without control characters: a terminal obeys some, and XML allows none."""
    return "".join(letter for letter in text if letter.isprintable() or letter == "\n")
