"""The merge recipe."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from adapterhub_lite.recipes.base import RecipeModel
from adapterhub_lite.recipes.data import DataSection
from adapterhub_lite.recipes.train import Part

WeightType = Literal["float32", "bfloat16", "float16"]


class MergeInput(RecipeModel):
    """A model that is merged; the other keys are its parameters, checked by the strategy."""

    model_config = ConfigDict(extra="allow")

    ref: str | None = Field(default=None, min_length=1)
    """A folder, a hub id or a registry reference: a whole model, or an adapter."""

    stage: str | None = None
    """The name of a stage of this recipe, whose result is merged without being written."""

    layers: tuple[int, int] | None = None
    """In a slice: the layers taken, from the first up to, and without, the second."""

    data: DataSection | None = None
    """The rows, as `train`, that a strategy which needs data computes with; labels are not read."""

    @property
    def params(self) -> dict[str, Any]:
        """The keys beside the model: parameters of the strategy for this model."""
        return dict(self.__pydantic_extra__ or {})

    @model_validator(mode="after")
    def _one_model(self) -> "MergeInput":
        if (self.ref is None) == (self.stage is None):
            raise ValueError("give either `ref` or `stage`")
        return self


def _reference_alone(value: Any) -> Any:
    return {"ref": value} if isinstance(value, str) else value


Input = Annotated[MergeInput, BeforeValidator(_reference_alone)]


class MergeSlice(RecipeModel):
    """Some layers of the output: the same number of layers of each of its models."""

    models: list[Input] = Field(min_length=1)
    """The models, each with its `layers`."""

    base: str | None = None
    """The base of this slice, where it is another one."""

    strategy: Part | None = None
    """The strategy of this slice, where it is another one."""

    params: dict[str, Any] = Field(default_factory=dict)
    """Parameters for this slice; they win over the strategy's, and a model's own win over them."""


class LayerScaling(RecipeModel):
    """LiNeS: task vectors count alpha in the first layer, growing to alpha + beta in the last."""

    alpha: float = 1.0
    """The factor of the first layer, and of embeddings."""

    beta: float = 0.0
    """What the factor grows by up to the last layer."""


class Merged(RecipeModel):
    """What is merged, and how: a recipe's own, or a stage's."""

    base: str | None = Field(default=None, min_length=1)
    """The model that all were trained from: a folder, a hub id, a registry reference or a stage."""

    strategy: Part | None = None
    """How models become one: a name, or a mapping with `name` and parameters.

    A parameter is a number; a list of numbers, which is a gradient over the layers; or a mapping
    from parts of the model to either: `embeddings`, `layers`, `norm`, `head`, `rest`, a tensor's
    name, a pattern with `*`, or `/a regular expression/`.
    """

    models: list[Input] = Field(default_factory=list)
    """The models, each with its parameters; a reference alone stands for one without any."""

    slices: list[MergeSlice] = Field(default_factory=list)
    """Instead of `models`: the output's layers, piece by piece."""

    layer_scaling: LayerScaling | None = None
    """Scale the result's difference from the base by depth."""

    @model_validator(mode="after")
    def _models_or_slices(self) -> "Merged":
        if self.models and self.slices:
            raise ValueError("give either `models` or `slices`")
        return self


class MergeOutput(RecipeModel):
    """What is written."""

    kind: Literal["model", "adapter"] = "model"
    """A whole model, or a LoRA adapter on the base."""

    dtype: WeightType | None = None
    """In which floats the result is written; by default in those of the base or the first model."""

    rank: Annotated[int, Field(strict=True, ge=1)] | Literal["exact"] | None = None
    """An adapter's rank; exact is the smallest that loses nothing, of factors. By default the
    strategy's own choice, or of a dense result the largest rank of the adapters."""

    energy: float | None = Field(default=None, gt=0, le=1)
    """Instead of a rank: the share of a matrix's squared norm that its factors keep, like 0.95."""

    rest: Literal["refuse", "save", "omit"] = "refuse"
    """What of a merged model is no linear layer and differs from the base (norms, biases,
    embeddings): refuse, save it whole beside an adapter's factors, or omit it."""

    shard_size: str = "5GB"
    """The largest size of a file, like 5GB or 500MB."""

    @field_validator("shard_size")
    @classmethod
    def _size(cls, value: str) -> str:
        parse_size(value)
        return value

    @model_validator(mode="after")
    def _of_adapters(self) -> "MergeOutput":
        if self.rank is not None and self.energy is not None:
            raise ValueError("give either `rank` or `energy`")
        only = sorted({"rank", "energy", "rest"} & self.model_fields_set)
        if self.kind != "adapter" and only:
            raise ValueError(f"`{only[0]}` is an adapter's: say `kind: adapter`")
        return self


class TokenSource(RecipeModel):
    """Where one token's embedding is taken from."""

    source: str | dict[str, Any]
    """A model of the recipe, zero, or `{kind: model_token, model, token | token_id}`."""

    force: bool = False
    """Take it from there also for the models that have the token themselves."""


class TokenizerSection(RecipeModel):
    """The output's tokenizer, and whose embeddings its tokens get."""

    source: str = "base"
    """base, union (all models' tokens), or a model of the recipe."""

    tokens: dict[str, TokenSource] = Field(default_factory=dict)
    """Tokens whose embeddings come from somewhere else."""

    pad_to_multiple_of: int | None = Field(default=None, ge=1)
    """Round the number of embeddings up to a multiple of this."""


def _source_alone(value: Any) -> Any:
    return {"source": value} if isinstance(value, str) else value


class SearchSection(RecipeModel):
    """Finds parameters by the score of the merged model on validation rows."""

    data: DataSection
    """The validation rows, as `train`; test rows have no place here: ahl eval scores them once."""

    ranges: dict[str, tuple[float, float]] = Field(min_length=1)
    """What is searched, by its path in the recipe, and its bounds: `models.0.weight: [0, 1]`."""

    metric: str | None = None
    """What is made best; by default the task's first metric."""

    trials: int = Field(default=30, ge=1)
    """How many merges are tried."""

    sampler: Literal["tpe", "cmaes"] = "tpe"
    """tpe (few trials, any parameters), or cmaes (many trials of several numbers)."""

    l1: float = Field(default=0.0, ge=0)
    """LoraHub's penalty on the sum of the absolute values: it keeps coefficients small."""

    @field_validator("ranges")
    @classmethod
    def _ordered(cls, value: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        for path, (low, high) in value.items():
            if not low < high:
                raise ValueError(f"{path}: the first bound has to be below the second")
        return value

    @field_validator("data")
    @classmethod
    def _no_test(cls, value: DataSection) -> DataSection:
        if value.test is not None or value.validation is not None:
            raise ValueError("give the validation rows as `train`, and no others")
        return value


class MergeRecipe(Merged):
    """Models to merge, how, and what to call the result."""

    stages: dict[str, Merged] = Field(default_factory=dict)
    """Merges whose results are inputs of others, by name; they are never written."""

    modules: dict[str, Merged] = Field(default_factory=dict)
    """For models of several parts: what is merged under each prefix of tensor names."""

    missing: Literal["error", "base"] = "error"
    """A tensor that a model lacks: an error, or no change from the base there."""

    heads: Literal["refuse", "average", "omit"] | Annotated[str, Field(pattern=r"^keep .+")] = (
        "refuse"
    )
    """Task heads that differ: refuse, average, omit, or `keep REF`: the one of that model."""

    output: MergeOutput = Field(default_factory=MergeOutput)
    """What is written."""

    tokenizer: Annotated[TokenizerSection | None, BeforeValidator(_source_alone)] = None
    """The output's tokenizer; by default the base's, and all models must have its vocabulary."""

    chat_template: str | None = None
    """auto (the template most models have), a model of the recipe, a Jinja template, or one of
    alpaca, chatml, exaone, llama3 and mistral."""

    search: SearchSection | None = None
    """Find parameters by their score on validation rows (ahl merge --search)."""

    seed: int = Field(default=0, ge=0, lt=2**53)
    """What random strategies draw with."""

    publish: str | None = None
    """The name to publish under."""

    alias: str | None = None
    """An alias to point at the published version."""

    license: str | None = None
    """The licence of the result, as an SPDX identifier."""


UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def parse_size(text: str) -> int:
    """Return the bytes that a size like 5GB or 500MiB stands for; raises ValueError."""
    number = text.strip().rstrip("abgikmtABGIKMT")
    unit = text.strip()[len(number) :].upper()
    try:
        size = int(float(number) * UNITS[unit])
    except (KeyError, ValueError):
        raise ValueError("should be a size like 5GB or 500MB") from None
    if size < 1:
        raise ValueError("should be a size like 5GB or 500MB")
    return size
