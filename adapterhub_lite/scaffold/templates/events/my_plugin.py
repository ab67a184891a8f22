"""my-plugin: follows runs, and appends a line a published version to a file of yours."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapterhub_lite.hookspecs import hookimpl

VARIABLE = "MY_JOURNAL"


@hookimpl
def adapterhub_run_event(event: Mapping[str, Any]) -> None:
    """Take note of what was published; an exception here is logged, and stops no run."""
    journal = os.environ.get(VARIABLE)
    if journal and event["event"] == "published":
        with Path(journal).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"version": event["version"]}) + "\n")
