"""mergekit's YAML as mergekit 0.1.5 reads it, but strictly: an unknown key is an error.

mergekit itself passes over such a key in silence.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from adapterhub_lite.recipes.base import RecipeModel

Parameters = dict[str, Any]


class ModelPath(RecipeModel):
    """A folder or a hub id."""

    path: str = Field(min_length=1)
    """The folder, or owner/name."""

    revision: str | None = None
    """A branch, tag or commit of the hub's repository."""

    @property
    def ref(self) -> str:
        """The path as our recipes write it."""
        return f"{self.path}@{self.revision}" if self.revision else self.path


def _path(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    path, *revisions = value.split("@")
    if len(revisions) > 1:
        raise ValueError("should have one @ at most, before the revision")
    return {"path": path, "revision": revisions[0] if revisions else None}


Path = Annotated[ModelPath, BeforeValidator(_path)]


class ModelReference(RecipeModel):
    """A model, or an adapter on it."""

    model: Path
    """The model."""

    lora: Path | None = None
    """An adapter that is added to the model."""

    override_architecture: str | None = None
    """As what architecture mergekit treats it; tensors tell us that by their names."""

    @property
    def ref(self) -> str:
        """The model as our recipes write it."""
        return f"{self.model.ref}+{self.lora.ref}" if self.lora else self.model.ref


def _reference(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    model, *adapters = value.split("+")
    if len(adapters) > 1:
        raise ValueError("should have one + at most, before the adapter")
    return {"model": model, "lora": adapters[0] if adapters else None}


Reference = Annotated[ModelReference, BeforeValidator(_reference)]


class Model(RecipeModel):
    """A model that is merged whole."""

    model: Reference
    """The model."""

    parameters: Parameters = Field(default_factory=dict)
    """Its own parameters."""


class Source(RecipeModel):
    """Some layers of a model."""

    model: Reference
    """The model."""

    layer_range: tuple[int, int]
    """From the first layer up to, and without, the second."""

    parameters: Parameters = Field(default_factory=dict)
    """Its own parameters."""


class Slice(RecipeModel):
    """Some layers of the output."""

    sources: list[Source] = Field(min_length=1)
    """What they are merged of."""

    base_model: Reference | None = None
    """The base of these layers, where it is another one."""

    residual_weight: float | None = None
    """Known to mergekit, and of no effect there."""

    parameters: Parameters = Field(default_factory=dict)
    """Parameters of these layers."""


class Pieces(RecipeModel):
    """What a merge is made of: whole models, or slices of them."""

    models: list[Model] = Field(default_factory=list)
    """Whole models."""

    slices: list[Slice] = Field(default_factory=list)
    """The output's layers, piece by piece."""

    parameters: Parameters = Field(default_factory=dict)
    """Parameters of all of it."""


class Module(Pieces):
    """A part of a model of several."""

    @model_validator(mode="after")
    def _one_form(self) -> "Module":
        if bool(self.models) == bool(self.slices):
            raise ValueError("give either `models` or `slices`")
        return self


class OtherToken(RecipeModel):
    """The embedding of a model's token, or zeros."""

    kind: Literal["model_token", "zero"]
    """Which of the two."""

    model: Reference | None = None
    """The model whose token it is."""

    token: str | None = None
    """The token."""

    token_id: int | None = Field(default=None, ge=0)
    """Or its number."""

    @model_validator(mode="after")
    def _one_token(self) -> "OtherToken":
        if self.kind == "zero":
            if {self.model, self.token, self.token_id} != {None}:
                raise ValueError("zero takes no model and no token")
        elif self.model is None or (self.token is None) == (self.token_id is None):
            raise ValueError("model_token takes a `model`, and either `token` or `token_id`")
        return self


def _other_token(value: Any) -> Any:
    """Tell a token of a model from a model by the key that only the former has."""
    if isinstance(value, Mapping) and "kind" in value:
        return OtherToken.model_validate(value)
    return value


class Token(RecipeModel):
    """Where one token's embedding is taken from."""

    source: Annotated[OtherToken | Reference, BeforeValidator(_other_token)]
    """A model, a model's token, or zeros."""

    force: bool = False
    """Take it from there also for models that have the token."""


def _vocabulary(value: Any) -> Any:
    """Take off the prefix that earlier versions of mergekit asked for."""
    return value.removeprefix("model:") if isinstance(value, str) else value


Vocabulary = Annotated[Reference, BeforeValidator(_vocabulary)]


class Tokenizer(RecipeModel):
    """The output's tokenizer."""

    source: Vocabulary = Field(default="union", validate_default=True)
    """union, base, or a model."""

    tokens: dict[str, Token] = Field(default_factory=dict)
    """Tokens whose embeddings come from somewhere else."""

    pad_to_multiple_of: int | None = None
    """Round the number of embeddings up to a multiple of this."""


class MergekitRecipe(Pieces):
    """A file of mergekit-yaml, or one document of mergekit-multi."""

    name: str | None = None
    """In mergekit-multi: what other documents call the result."""

    merge_method: str = Field(min_length=1)
    """How models become one."""

    base_model: Reference | None = None
    """The model that all were trained from."""

    modules: dict[str, Module] = Field(default_factory=dict)
    """For models of several parts: what is merged in each."""

    dtype: str | None = None
    """In which floats mergekit computes, and writes unless told otherwise."""

    out_dtype: str | None = None
    """In which floats the result is written."""

    tokenizer_source: Vocabulary | None = None
    """union, base, or a model; the short form of `tokenizer`."""

    tokenizer: Tokenizer | None = None
    """The output's tokenizer."""

    chat_template: str | None = None
    """auto, a built-in template's name, or a Jinja template."""

    @model_validator(mode="after")
    def _one_form(self) -> "MergekitRecipe":
        if sum(map(bool, (self.models, self.slices, self.modules))) != 1:
            raise ValueError("give exactly one of `models`, `slices` and `modules`")
        if self.tokenizer_source is not None and self.tokenizer is not None:
            raise ValueError("give either `tokenizer` or `tokenizer_source`")
        return self
