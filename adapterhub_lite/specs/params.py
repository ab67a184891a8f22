"""Parameters of what plugins offer: pydantic models from which help and schemas come."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, PlainSerializer, PlainValidator, WithJsonSchema

from adapterhub_lite.specs.words import TargetRole


@dataclass(frozen=True, slots=True)
class Adapter:
    """A trained adapter that a method's parameters name, by a registry reference or a folder.

    A plan finds it, and holds it against the recipe's base, before the method sees the parameters.
    Until then there is only ``ref``, as the recipe has it; afterwards a reference is pinned
    ("topics@prod" is "topics@3"), ``folder`` has the files, ``digest`` is the version's (empty for
    a folder that is none), and ``method`` names the method that the adapter was trained with.
    """

    ref: str
    folder: Path = Path()
    digest: str = ""
    method: str = ""


def _named(value: object) -> Adapter:
    if isinstance(value, Adapter):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError("should be a registry reference, or the folder of an adapter")
    return Adapter(value)


AdapterRef = Annotated[
    Adapter,
    PlainValidator(_named),
    PlainSerializer(lambda adapter: adapter.ref, return_type=str),
    WithJsonSchema({"type": "string", "minLength": 1}),
]
"""The type of a method's parameter that names an adapter on the recipe's base.

In recipes, and wherever parameters are written down, it is the reference alone. A version that was
trained upon adapters has them for parents.
"""


class Params(BaseModel):
    """Base of every params model: unknown keys are errors, every field has a help text."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, serialize_by_alias=True
    )

    def open_targets(self) -> Mapping[str, Sequence[TargetRole]]:
        """Return which fields name modules and were left open, and the roles these are to play.

        A method's params say so. The plan fills in what a plugin knows of the architecture
        (``adapterhub_target_modules``); what nobody knows stays open, and the method decides.
        """
        return {}

    def named_adapters(self) -> tuple[Adapter, ...]:
        """Return the adapters that fields of the type :data:`AdapterRef`, or lists of it, name."""
        values = (value for _, value in self)
        listed = (value if isinstance(value, list) else [value] for value in values)
        return tuple(one for some in listed for one in some if isinstance(one, Adapter))

    def with_adapters(self, find: Callable[[Adapter], Adapter]) -> Self:
        """Return these parameters with ``find`` of each adapter that they name in its place."""

        def found(value: Any) -> Any:
            if isinstance(value, list):
                return [found(one) for one in value]
            return find(value) if isinstance(value, Adapter) else value

        return self.model_copy(update={name: found(value) for name, value in self})


class NoParams(Params):
    """For a plugin that takes no parameters."""
