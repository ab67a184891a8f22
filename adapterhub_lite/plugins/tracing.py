"""Tracing: with ``ADAPTERHUB_LITE_TRACE_HOOKS=1``, a line on stderr for each call of a hook."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from adapterhub_lite.plugins.faults import one_line

TRACE = "ADAPTERHUB_LITE_TRACE_HOOKS"


@contextmanager
def traced(plugin: str, what: str) -> Iterator[None]:
    """Time a hook of a plugin, or its import, and write a line when that is asked for."""
    if os.environ.get(TRACE, "0") in ("", "0"):
        yield
        return
    start, outcome = time.perf_counter(), ""
    try:
        yield
    except BaseException as error:
        outcome = f"  failed: {one_line(error)}"
        raise
    finally:
        took = (time.perf_counter() - start) * 1000
        print(f"trace: {plugin}  {what}  {took:.1f} ms{outcome}", file=sys.stderr)  # noqa: T201
