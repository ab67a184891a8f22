"""Loading a base in floating point."""

from pathlib import Path

import torch

from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite.specs import ResolvedBase
from adapterhub_lite.transformer import load_transformer
from adapterhub_lite_loaders import LoaderParams


class Float32Loader:
    """Loads a base as 32-bit floating point."""

    def load(self, base: ResolvedBase, params: LoaderParams) -> LoadedBase:
        """Load the transformer and its tokenizer in evaluation mode."""
        return load_transformer(Path(base.path), torch.float32, params.device)
