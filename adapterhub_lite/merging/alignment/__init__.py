"""The same tensors of several models under the same names, by rules that are told."""
