"""What every recipe model shares: strict keys, and help texts that reach the JSON Schema."""

from pydantic import BaseModel, ConfigDict


class RecipeModel(BaseModel):
    """A part of a recipe: an unknown key is an error, and nothing changes after reading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
