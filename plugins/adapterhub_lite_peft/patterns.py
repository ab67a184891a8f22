"""A user's regular expressions, tried on a base's module names by a process that can be stopped.

PEFT matches with :mod:`re`, which no timeout interrupts; so what will be matched is matched once
elsewhere, by the same engine, before PEFT sees it.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

SECONDS: Final = 5.0
"""Matching all names of a large base takes milliseconds; starting Python takes the rest."""
WORKER: Final = """
import json, re, sys
given = json.load(sys.stdin)
for pattern in given["patterns"]:
    tried = re.compile(pattern)
    for name in given["names"]:
        tried.fullmatch(name)
"""


def used_patterns(params: Mapping[str, Any]) -> list[str]:
    """Return every expression that PEFT will match, in the form in which it does."""
    whole = [
        value
        for key in ("target_modules", "exclude_modules", "feedforward_modules")
        if isinstance(value := params.get(key), str) and value.lower() != "all-linear"
    ]
    layers = params.get("layers_pattern") or []
    lists = [layers] if isinstance(layers, str) else layers
    keys = [
        key
        for name, value in params.items()
        if name.endswith("_pattern") and isinstance(value, Mapping)
        for key in value
    ]
    return [
        *whole,
        *(rf"(?:^|.*?\.){pattern}\.(\d+)\..*" for pattern in lists),
        *(rf"(.*\.)?({key})$" for key in keys),
        *(rf"(^|.*\.){name}($|\..*)" for name in params.get("modules_to_save") or []),
    ]


def pattern_reasons(params: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Return what speaks against a method's regular expressions: malformed, or endless."""
    patterns = used_patterns(params)
    for pattern in patterns:
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            return [f"{pattern!r} is no regular expression: {error}"]
    suspects = [pattern for pattern in patterns if _may_run_away(pattern)]
    if suspects and not _ends(suspects, names):
        return [
            f"matching {min(suspects, key=len)!r} takes more than {SECONDS:g} s: it repeats within "
            "a repetition; list the modules' names instead"
        ]
    return []


def _may_run_away(pattern: str) -> bool:
    """Say whether a pattern repeats within a repetition, or repeats a choice that may be double."""
    repeats = sum(pattern.count(sign) for sign in "*+{?")
    return repeats > 1 or (repeats == 1 and "|" in pattern)


def _ends(patterns: Iterable[str], names: Sequence[str]) -> bool:
    """Say whether matching comes to an end, in a process of its own."""
    given = json.dumps({"patterns": list(patterns), "names": list(names)})
    try:
        subprocess.run(  # noqa: S603  (our own text; the patterns go in as data)
            [sys.executable, "-I", "-S", "-c", WORKER],
            input=given,
            text=True,
            timeout=SECONDS,
            check=True,
            capture_output=True,
        )
    except subprocess.TimeoutExpired:
        return False
    return True
