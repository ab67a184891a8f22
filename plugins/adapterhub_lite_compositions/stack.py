"""Adapters one upon another."""

from collections.abc import Sequence

from adapterhub_lite.protocols import AdapterMembers, LoadedBase
from adapterhub_lite.specs import NoParams
from adapterhub_lite_compositions.baked import stacked
from adapterhub_lite_compositions.members import folders_of, method_of, reasons_against


class Stack:
    """Makes all members active in their order, each changing what those before it made.

    Pfeiffer et al., 2020 (MAD-X) put a task's adapter upon a language's so.
    """

    def check(self, members: AdapterMembers, params: NoParams) -> Sequence[str]:
        """Return what speaks against it."""
        return reasons_against(members, "stack")

    def load(self, members: AdapterMembers, params: NoParams) -> LoadedBase:
        """Return the base with all of them active, and the head of one."""
        assert members.head is not None, "of one model, one member's head answers"
        base = members.base(members.find(members.head))
        return method_of(members).load_stack(base, folders_of(members), members.head)

    def reference(self, members: AdapterMembers, params: NoParams) -> LoadedBase | None:
        """Return a base into which the members were merged one after another."""
        return stacked(members)

    def probe(self, members: AdapterMembers, params: NoParams) -> None:
        """Return nothing: any tokens tell."""
