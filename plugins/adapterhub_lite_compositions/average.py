"""The weighted average of adapters, as one adapter."""

from collections.abc import Sequence
from pathlib import Path

from adapterhub_lite.protocols import AdapterMembers, LoadedBase
from adapterhub_lite_compositions import AverageParams
from adapterhub_lite_compositions.baked import averaged
from adapterhub_lite_compositions.members import folders_of, method_of, reasons_against


class Average:
    """Adds Σ wᵢ times what member i adds to a layer, given the same input.

    What members replace whole, mostly heads, is averaged with the weights divided by their sum; or
    it is that of the member whose head is named.
    """

    def check(self, members: AdapterMembers, params: AverageParams) -> Sequence[str]:
        """Return what speaks against it."""
        if sum(_weights(members).values()) == 0 and (params.normalise or members.head is None):
            return [
                "their weights add up to 0, and cannot be divided by that (normalise: false takes "
                "them as they are, with a head named)"
            ]
        return reasons_against(members, "average")

    def write(self, members: AdapterMembers, params: AverageParams, folder: Path) -> None:
        """Write the one adapter."""
        method_of(members).write_average(
            folders_of(members), _factors(members, params), _heads(members), folder
        )

    def reference(self, members: AdapterMembers, params: AverageParams) -> LoadedBase | None:
        """Return a model with the weighted sum of what each member, merged alone, changes."""
        return averaged(members, _factors(members, params), _heads(members))


def _weights(members: AdapterMembers) -> dict[str, float]:
    return {member.name: member.params.weight for member in members.all}


def _shares(members: AdapterMembers) -> dict[str, float]:
    weights = _weights(members)
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}


def _factors(members: AdapterMembers, params: AverageParams) -> dict[str, float]:
    return _shares(members) if params.normalise else _weights(members)


def _heads(members: AdapterMembers) -> dict[str, float]:
    if members.head is None:
        return _shares(members)
    return {member.name: float(member.name == members.head) for member in members.all}
