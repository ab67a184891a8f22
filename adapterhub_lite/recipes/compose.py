"""The recipe of a composition."""

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, ConfigDict, Field

from adapterhub_lite.recipes.base import RecipeModel
from adapterhub_lite.recipes.data import DataSection, File
from adapterhub_lite.recipes.train import Part

MEMBER_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""What a member may be called; it names a folder."""


def _file_alone(value: Any) -> Any:
    return {"train": value} if isinstance(value, str) else value


class ComposeMember(RecipeModel):
    """An adapter that takes part; the other keys are its parameters, checked by the composition."""

    model_config = ConfigDict(extra="allow")

    ref: str = Field(min_length=1)
    """A registry reference, or the folder of an adapter."""

    name: str | None = Field(default=None, pattern=MEMBER_NAME)
    """What the member is called in the composition; by default the reference's own name."""

    examples: Annotated[
        DataSection | None,
        BeforeValidator(_file_alone, json_schema_input_type=File | DataSection | None),
    ] = None
    """Inputs that are this member's, for a composition that learns whom to ask: a file, or a
    section like `data` whose `train` is one. By default the rows that the member was trained on."""

    @property
    def params(self) -> dict[str, Any]:
        """The keys beside the reference and the name."""
        return dict(self.__pydantic_extra__ or {})


def _reference_alone(value: Any) -> Any:
    return {"ref": value} if isinstance(value, str) else value


class ComposeRecipe(RecipeModel):
    """Adapters that are to act together, how, and what to call the result."""

    composition: Part
    """How the members act together: a name, or a mapping with `name` and parameters."""

    members: list[Annotated[ComposeMember, BeforeValidator(_reference_alone)]] = Field(min_length=1)
    """The adapters, each with its parameters; a reference alone stands for one without any."""

    head: str | None = None
    """The member whose head answers, by name or reference; needed where labels differ."""

    publish: str | None = None
    """The name to publish under."""

    alias: str | None = None
    """An alias to point at the published version."""

    license: str | None = None
    """The licence of the result, as an SPDX identifier."""
