"""What is asked of a version, and what it answers, told from its ``adapterhub.json``."""

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.inference.artifact import ArtifactInfo
from adapterhub_lite.inference.predictor import AskedMembers, Predictor
from adapterhub_lite.protocols import Interface, Scorer


def interface_of(info: ArtifactInfo, catalogue: Catalogue) -> Interface:
    """Return what an artifact, or a composition, is asked and answers.

    Raises UnknownNameError where the plugin of its objective is absent.
    """
    if info.composition is not None and info.composition.interface is not None:
        return info.composition.interface
    objective = catalogue.objective(info.objective)
    return Interface(task=info.task, rows=objective.rows, pairs=objective.pairs, head=info.head)


def predictor_of(
    scorer: Scorer, name: str, interface: Interface, members: AskedMembers | None = None
) -> Predictor:
    """Return the predictor of what answers by that interface."""
    return Predictor(
        scorer, name, interface.task, interface.rows, pairs=interface.pairs, members=members
    )
