"""What a merge strategy is held to: what it computes, how it runs, what it declares.

Small tensors go through the merge engine itself; nothing is trained but for ``needs-data``.
"""

from typing import Final

from adapterhub_lite.testing.merge_checks import contract, data, results, running

CHECKS: Final = (*contract.CHECKS, *results.CHECKS, *running.CHECKS, *data.CHECKS)
