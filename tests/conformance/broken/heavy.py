"""An entry point's module that imports what only its implementation needs."""

import numpy as np

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import LoaderSpec

ONE_BYTE = np.dtype(np.int8).itemsize


@hookimpl
def adapterhub_loaders() -> list[LoaderSpec]:
    """Offer a loader."""
    return [
        LoaderSpec(
            name="heavy",
            summary="A loader that counts bytes with numpy.",
            implementation="tests.conformance.broken.loaders:Sound",
            bytes_per_parameter=4 * ONE_BYTE,
        )
    ]
