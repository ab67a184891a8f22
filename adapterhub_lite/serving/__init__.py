"""HTTP over inference: versions of a registry answer requests, batched, with limits and figures.

Imports FastAPI; nothing else in the project imports this package but ``ahl serve``.
"""
