"""Merging: several models become one, chunk by chunk, without loading any of them.

::

    recipe → plan → jobs (one a tensor) → threads → chunks → output file, at its offset

``engine`` runs the jobs, ``output`` and ``writer`` take the results. The mathematics are in
plugins, over the chunks of :mod:`adapterhub_lite.streaming`.
"""
