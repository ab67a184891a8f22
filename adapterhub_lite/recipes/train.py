"""The training recipe."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from adapterhub_lite.recipes.base import RecipeModel
from adapterhub_lite.recipes.data import DataSection


class PartChoice(RecipeModel):
    """A plugin's part by name; the other keys are its parameters, checked by its own model."""

    model_config = ConfigDict(extra="allow")

    name: str
    """The name of the method, objective or loader."""

    @property
    def params(self) -> dict[str, Any]:
        """The keys beside the name."""
        return dict(self.__pydantic_extra__ or {})


def _name_alone(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Part = Annotated[PartChoice, BeforeValidator(_name_alone)]


class TrainRecipe(RecipeModel):
    """What to train, on what, and what to call the result."""

    base: str = Field(default="minilm", min_length=1)
    """The base model: `minilm` (packaged), a folder, a hub id, or a registry reference."""

    preset: str | None = None
    """A named choice of loader, method and objective; keys given beside it win."""

    loader: Part | None = None
    """In which precision the base is loaded: a name, or a mapping with `name` and parameters."""

    method: Part | None = None
    """Which parameters learn: a name, or a mapping with `name` and parameters."""

    objective: Part | None = None
    """What is optimised: a name, or a mapping with `name` and parameters."""

    data: DataSection
    """Which rows to train and test on."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes a GPU when there is one."""

    seed: int = Field(default=0, ge=0, lt=2**53)
    """The first seed: it draws the shots and orders the training."""

    seeds: int = Field(default=1, ge=1, le=100)
    """How many seeds to train with; the one that validates best is published."""

    publish: str | None = None
    """The name to publish under; without one nothing is published."""

    alias: str | None = None
    """An alias to point at the published version."""

    license: str | None = None
    """The licence of the result, as an SPDX identifier."""
