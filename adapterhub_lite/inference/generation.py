"""What a caller may ask of a model that writes text; free of torch."""

from adapterhub_lite.protocols.generation import GenerationOptions

__all__ = ["GenerationOptions"]
