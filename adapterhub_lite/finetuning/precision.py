"""Mixed precision: what the forward pass computes in, and fp16's scaled gradients."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import torch

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.finetuning.params import PrecisionName

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """Runs the forward pass in a precision; ``scaler`` keeps fp16's small gradients from zero."""

    def __init__(
        self, name: PrecisionName, device: torch.device, parameters: Iterable[torch.Tensor]
    ) -> None:
        """Raises CapabilityError for a precision that the device or the weights do not take."""
        self._name = name
        self._device = device
        if name == "fp16":
            _check_fp16(device, parameters)
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")

    def forward(self) -> AbstractContextManager[None]:
        """Return a context for the forward pass."""
        if self._name == "fp32":
            return nullcontext()
        return torch.autocast(self._device.type, _TYPES[self._name])


def _check_fp16(device: torch.device, parameters: Iterable[torch.Tensor]) -> None:
    if device.type == "cpu":
        raise CapabilityError(
            "precision fp16 cannot train on a CPU", hint="use precision: bf16, or fp32"
        )
    if any(parameter.dtype == torch.float16 for parameter in parameters):
        raise CapabilityError(
            "weights in fp16 cannot learn: their gradients cannot be scaled back",
            hint="use loader: fp32 with precision: fp16, or loader: bf16",
        )
