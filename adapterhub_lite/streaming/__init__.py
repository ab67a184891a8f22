"""Tensors of models by slices: where they lie, how they are read, what a merge strategy sees.

``headers`` finds them in files, ``sources`` reads them, ``tensors`` hands a strategy one tensor of
every model a chunk at a time; ``selection`` and ``randomness`` are what strategies compute with.
"""
