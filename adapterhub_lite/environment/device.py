"""The device: what torch can compute on, asked in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from adapterhub_lite.environment.findings import Finding

PATIENCE: Final = 120
"""Seconds after which torch is taken not to import at all."""

INSTALL_TORCH: Final = "reinstall torch: https://pytorch.org/get-started/locally"

NVIDIA: Final = Path("/proc/driver/nvidia/version")
"""There where the driver of a GPU is loaded."""

SCRIPT: Final = """
import json, torch
gpus = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
found = [torch.cuda.get_device_properties(n) for n in gpus]
print(json.dumps({
    "threads": torch.get_num_threads(),
    "built_for": torch.version.cuda,
    "gpus": [[gpu.name, gpu.total_memory] for gpu in found],
}))
"""


class DeviceProbe:
    """Starts to import torch when it is made, and reports when it is asked."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 -- a script of our own
            [sys.executable, "-W", "ignore", "-c", SCRIPT],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def findings(self) -> Iterator[Finding]:
        """Yield the processor's threads and each GPU, or why torch does not import."""
        try:
            out, err = self._process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            yield _fault(f"does not import within {PATIENCE} seconds")
            return
        if self._process.returncode != 0:
            reason = (err.strip().splitlines() or [f"exit code {self._process.returncode}"])[-1]
            yield _fault(f"does not import: {reason}")
            return
        yield from _devices(json.loads(out.splitlines()[-1]))


def _devices(told: dict[str, Any]) -> Iterator[Finding]:
    yield _found("cpu", f"{told['threads']} threads")
    for number, (name, memory) in enumerate(told["gpus"]):
        yield _found(f"cuda:{number}", f"{name}, {memory / 2**30:.0f} GiB")
    if told["gpus"]:
        return
    if not NVIDIA.exists():
        yield _found("cuda", "no GPU here")
        return
    built = (
        f"it is built for CUDA {told['built_for']}" if told["built_for"] else "it is built for CPU"
    )
    yield Finding(
        area="device",
        subject="cuda",
        level="warning",
        message=f"there is a GPU driver, and torch sees no GPU: {built}",
        way_out="install a torch for the driver's CUDA (see nvidia-smi): "
        "https://pytorch.org/get-started/locally",
    )


def _found(subject: str, message: str) -> Finding:
    return Finding(area="device", subject=subject, level="ok", message=message)


def _fault(message: str) -> Finding:
    return Finding(
        area="device", subject="torch", level="fault", message=message, way_out=INSTALL_TORCH
    )
