"""The checks of a method, by what its spec declares.

A method meets a tiny model of each family that it declares, with the heads that it declares; most
checks look at the first of these that it does not refuse. Reloading is into fresh objects on a
fresh base, in the same process; the loss is that of six rows.
"""

from typing import Final

from adapterhub_lite.testing.methods.attaching import CHECKS as ATTACHING
from adapterhub_lite.testing.methods.composing import CHECKS as COMPOSING
from adapterhub_lite.testing.methods.declared import CHECKS as DECLARED
from adapterhub_lite.testing.methods.passes import CHECKS as PASSES
from adapterhub_lite.testing.methods.saving import CHECKS as SAVING
from adapterhub_lite.testing.methods.training import CHECKS as TRAINING

CHECKS: Final = (*ATTACHING, *TRAINING, *SAVING, *DECLARED, *COMPOSING, *PASSES)
