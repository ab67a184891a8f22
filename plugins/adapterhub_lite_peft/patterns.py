"""A user's regular expressions, tried on a base's module names by a process that can be stopped.

PEFT matches with :mod:`re`, which no timeout interrupts; so what will be compiled and matched is
compiled and matched once elsewhere, by the same engine, before PEFT sees it. What counts is how
long that process computes, so that a busy machine refuses nothing that an idle one takes.
"""

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

CPU_SECONDS: Final = 0.5
"""Matching all names of a large base takes milliseconds."""
WAIT_SECONDS: Final = 60.0
"""A process that computes nothing ends as well."""
PLAIN: Final = re.compile(r"(?:[\w.-]|\\\.){1,1000}")
"""A module's name, with or without its dots escaped: matching one takes no time."""
SHOWN: Final = 200
WORKER: Final = """
import json, re, signal, sys
given = json.load(sys.stdin)
signal.setitimer(signal.ITIMER_PROF, given["seconds"])
for number, pattern in enumerate(given["patterns"]):
    print(number, flush=True)
    try:
        tried = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        sys.exit(f"{error}")
    for name in given["names"]:
        tried.fullmatch(name)
"""
"""Says which pattern is tried; the timer's signal ends it in the midst of one."""


def used_patterns(params: Mapping[str, Any]) -> list[str]:
    """Return every expression that PEFT will match, in the form in which it does.

    Plain names are left out: nothing is wrong with them, and some adapters list hundreds.
    """
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
    saved = params.get("modules_to_save") or []
    return [
        form.format(text)
        for form, texts in (
            ("{}", whole),
            (r"(?:^|.*?\.){}\.(\d+)\..*", lists),
            (r"(.*\.)?({})$", keys),
            (r"(^|.*\.){}($|\..*)", saved),
        )
        for text in texts
        if PLAIN.fullmatch(text) is None
    ]


def pattern_reasons(params: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Return what speaks against a method's regular expressions: malformed, or endless."""
    patterns = used_patterns(params)
    if not patterns:
        return []
    status, tried, error = _try(patterns, names)
    if status == 0:
        return []
    pattern = patterns[tried]
    shown = pattern if len(pattern) <= SHOWN else f"{pattern[:SHOWN]}…"
    if status == 1 and error:
        return [f"{shown!r} is no regular expression: {error}"]
    return [
        f"matching {shown!r} takes more than {CPU_SECONDS:g} s, as where it repeats within a "
        "repetition; list the modules' names instead"
    ]


def _try(patterns: Sequence[str], names: Sequence[str]) -> tuple[int, int, str]:
    """Match in a process of its own; return how it ended, at which pattern, and what it says."""
    given = {"patterns": patterns, "names": names, "seconds": CPU_SECONDS}
    try:
        done = subprocess.run(  # noqa: S603  (our own text; the patterns go in as data)
            [sys.executable, "-I", "-S", "-c", WORKER],
            input=json.dumps(given),
            text=True,
            timeout=WAIT_SECONDS,
            check=False,
            capture_output=True,
        )
    except subprocess.TimeoutExpired:
        return 1, 0, ""
    lines = done.stdout.split()
    error = done.stderr.strip().splitlines()[-1:]
    return done.returncode, int(lines[-1]) if lines else 0, " ".join(error)
