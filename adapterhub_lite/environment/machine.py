"""The machine: processors, disks, and where models from the hub are kept."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from adapterhub_lite.environment.findings import Finding
from adapterhub_lite.wording import counted

SCARCE: Final = 2_000_000_000
"""Bytes of free disk below which a training may not finish."""

OFFLINE: Final = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
ON: Final = frozenset({"1", "ON", "YES", "TRUE"})
"""What huggingface_hub reads as yes."""


def processor_findings() -> Iterator[Finding]:
    """Yield how many processors there are, and how many threads are to use them."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = os.environ.get("OMP_NUM_THREADS")
    told = f"; OMP_NUM_THREADS={threads}" if threads else ""
    yield Finding(
        area="machine", subject="processors", level="ok", message=f"{usable} usable{told}"
    )


def cache_findings() -> Iterator[Finding]:
    """Yield where the hub's models are kept, and whether it may be asked for more."""
    from huggingface_hub.constants import HF_HUB_CACHE

    cache = Path(HF_HUB_CACHE)
    models = list(cache.glob("models--*")) if cache.is_dir() else []
    message = f"{cache}: {counted(len(models), 'model')}"
    yield Finding(area="models", subject="hub cache", level="ok", message=message)
    flags = [f"{name}={os.environ[name]}" for name in OFFLINE if os.environ.get(name)]
    offline = any(os.environ.get(name, "").upper() in ON for name in OFFLINE)
    yield Finding(
        area="models",
        subject="hub",
        level="ok",
        message=f"offline by {', '.join(flags)}: models come from the cache alone"
        if offline
        else "downloads are allowed",
        way_out="unset it to download models" if offline else "",
    )
    if existing(cache) and not os.access(existing(cache), os.W_OK):
        yield Finding(
            area="models",
            subject="hub cache",
            level="warning",
            message=f"{existing(cache)} cannot be written to: no model can be downloaded",
            way_out="set HF_HUB_CACHE to a folder of your own",
        )


def disk_findings(home: Path) -> Iterator[Finding]:
    """Yield the free space where versions are kept and where runs work."""
    for subject, place, variable in (
        ("disk, registry", home, "--home or $ADAPTERHUB_LITE_HOME"),
        ("disk, temporary", Path(tempfile.gettempdir()), "$TMPDIR"),
    ):
        free = shutil.disk_usage(existing(place)).free
        scarce = free < SCARCE
        yield Finding(
            area="disk",
            subject=subject,
            level="warning" if scarce else "ok",
            message=f"{free / 1e9:.1f} GB free at {existing(place)}",
            way_out=f"free some space, or choose another place by {variable}" if scarce else "",
        )


def existing(place: Path) -> Path:
    """Return the nearest folder at or above ``place`` that is there."""
    return next(folder for folder in (place, *place.absolute().parents) if folder.exists())
