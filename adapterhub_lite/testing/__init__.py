"""What plugin authors and our own tests share: tiny models and data, made on the spot."""

from adapterhub_lite.testing.tiny import TINY_ROWS, write_tiny_model

__all__ = ["TINY_ROWS", "write_tiny_model"]
