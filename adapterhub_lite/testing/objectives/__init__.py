"""The checks of an objective, by what its spec declares.

It trains a tiny model whole, on eighteen rows of its kind; give parameters that make this short in
the hook ``adapterhub_conformance``. Reloading is into fresh objects, in the same process.
"""

from typing import Final

from adapterhub_lite.testing.objectives.answering import CHECKS as ANSWERING
from adapterhub_lite.testing.objectives.fitting import CHECKS as FITTING
from adapterhub_lite.testing.objectives.offering import CHECKS as OFFERING
from adapterhub_lite.testing.objectives.planning import CHECKS as PLANNING

CHECKS: Final = (*PLANNING, *FITTING, *ANSWERING, *OFFERING)
