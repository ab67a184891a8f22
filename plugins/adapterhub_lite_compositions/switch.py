"""One of several adapters at a time."""

from collections.abc import Sequence

from adapterhub_lite.protocols import Members, Scorer
from adapterhub_lite.specs import NoParams


class Switch:
    """Answers as one member does alone."""

    def check(self, members: Members, params: NoParams) -> Sequence[str]:
        """Return nothing: members stand beside each other."""
        return []

    def load(self, members: Members, params: NoParams) -> Scorer:
        """Return the member that answers when nobody chooses."""
        assert members.head is not None, "a switch has a default"
        return members.scorer(members.find(members.head))
