"""What a person writes: pydantic models, read strictly, with suggestions for misspelt keys."""

from adapterhub_lite.recipes.compose import ComposeRecipe
from adapterhub_lite.recipes.data import DataSection
from adapterhub_lite.recipes.loading import apply_overrides, read_recipe, validate
from adapterhub_lite.recipes.merge import MergeRecipe
from adapterhub_lite.recipes.train import PartChoice, TrainRecipe

__all__ = [
    "ComposeRecipe",
    "DataSection",
    "MergeRecipe",
    "PartChoice",
    "TrainRecipe",
    "apply_overrides",
    "read_recipe",
    "validate",
]
