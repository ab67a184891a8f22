"""What ``adapter_config.json`` of AdapterHub says, believed nothing: strict schemas by method.

A value that would compute otherwise than what there is here has no place in its field's type, so
that it is refused by its name; so is a key that is not known. Keys that say how an adapter began
or was trained are read and change nothing. Older releases (adapter-transformers) wrote fewer keys,
and two more that concern AdapterFusion alone.
"""

import re
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapterhub_lite.errors import CapabilityError

SAME: Final = ("gelu", "gelu_new", "mish", "quick_gelu", "relu", "relu6", "silu", "swish", "tanh")
NON_LINEARITIES: Final = {**{name: name for name in SAME}, "leakyrelu": "leaky_relu"}
"""AdapterHub's names of functions without parameters → transformers'."""
_SEQ: Final = {"original_ln_before": True}
_DOUBLE_SEQ: Final = {"mh_adapter": True, "non_linearity": "swish"}
_PARALLEL: Final = {"is_parallel": True, "reduction_factor": 2, "scaling": 4.0}
NAMED: Final[dict[str, dict[str, Any]]] = {
    "pfeiffer": _SEQ,
    "seq_bn": _SEQ,
    "houlsby": _DOUBLE_SEQ,
    "double_seq_bn": _DOUBLE_SEQ,
    "parallel": _PARALLEL,
    "par_bn": _PARALLEL,
}
"""Names that stand in old folders instead of settings → what they mean beside the defaults."""

Positive = Annotated[int, Field(gt=0, le=1_000_000)]
Word = Annotated[str, Field(max_length=200)]
Factor = Annotated[float, Field(ge=0.001, le=1_000_000)]


Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """Takes no key that is not named, no value of another type, and no number without end."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class About(Strict):
    """The folder's own words around the method's settings; what else stands there is not used."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, protected_namespaces=())

    config: dict[str, Any] | Word
    name: Word
    model_type: Word
    model_name: Annotated[str, Field(max_length=1000)] | None = None
    type: Word | None = None
    """Of releases before 2: what the adapter was for. One for a task never used ``inv_adapter``."""
    version: Word = "unknown"


class _Trained(Strict):
    """How an adapter began and was trained, which says nothing of what it computes."""

    leave_out: list[int] = Field(default_factory=list)
    dropout: float = 0.0
    init_weights: Word = ""
    init_weights_seed: int | None = None
    use_gating: Literal[False] = False


class Bottleneck(_Trained):
    """``BnConfig``: sequential and parallel bottlenecks."""

    architecture: None = None
    mh_adapter: bool = False
    output_adapter: bool = True
    cross_adapter: bool = False
    reduction_factor: Factor | dict[Word, Factor] = 16.0
    non_linearity: Word = "relu"
    original_ln_before: bool = False
    original_ln_after: Literal[True] = True
    residual_before_ln: bool | Literal["post_add"] = True
    adapter_residual_before_ln: bool = False
    ln_before: Literal[False] = False
    ln_after: Literal[False] = False
    is_parallel: bool = False
    scaling: float = 1.0
    stochastic_depth: float = 0.0
    inv_adapter: Word | None = None
    inv_adapter_reduction_factor: float | None = None
    invertible_adapter: dict[Word, Word | float] | None = None
    phm_layer: Literal[False] = False
    phm_dim: int = 4
    phm_rank: int = 1
    phm_bias: bool = True
    phm_c_init: Word = "normal"
    phm_init_range: float = 0.0001
    learn_phm: bool = True
    factorized_phm_w: bool = Field(default=True, alias="factorized_phm_W")
    factorized_phm_rule: bool = False
    shared_w_phm: bool = Field(default=False, alias="shared_W_phm")
    shared_phm_rule: bool = True
    hypercomplex_nonlinearity: Word = "glorot-uniform"
    attention_type: Literal["sent-lvl-dynamic", "sent-lvl", "static"] | None = None
    new_attention_norm: bool = False


class LowRank(_Trained):
    """``LoRAConfig``: LoRA, and (IA)³, which scales by a vector instead of adding."""

    architecture: Literal["lora"]
    r: Positive
    alpha: Annotated[float, Field(gt=0)]
    composition_mode: Literal["add", "scale"] = "add"
    attn_matrices: list[Word] = Field(default_factory=list)
    selfattn_lora: bool = True
    intermediate_lora: bool = False
    output_lora: bool = False
    use_dora: Literal[False] = False
    bias: Literal[False] = False
    vera_d: None = None
    vera_b: None = None
    dtype: Word | None = None


class Prefix(_Trained):
    """``PrefixTuningConfig``: learned keys and values, or a small network that makes them."""

    architecture: Literal["prefix_tuning"]
    prefix_length: Positive
    flat: bool = False
    bottleneck_size: Positive = 512
    non_linearity: Word = "tanh"
    encoder_prefix: bool = True
    cross_prefix: bool = True
    shared_gating: bool = True


Method = Bottleneck | LowRank | Prefix
METHODS: Final[dict[str | None, type[Method]]] = {
    None: Bottleneck,
    "lora": LowRank,
    "prefix_tuning": Prefix,
}


def read_about(saved: dict[str, Any]) -> About:
    """Return the folder's words; raises CapabilityError for ones of other types."""
    return validated(About, saved)


def read_method(about: About) -> Method:
    """Return the method's settings; raises CapabilityError for what has no equal here."""
    told = NAMED.get(about.config) if isinstance(about.config, str) else about.config
    architecture = None if told is None else told.get("architecture")
    if told is None or not isinstance(architecture, str | None) or architecture not in METHODS:
        raise CapabilityError(
            f"the adapter's method is {str(architecture or about.config)[:60]!r}",
            hint="bottlenecks, LoRA, (IA)³ and prefixes are imported; train others again",
        )
    method = validated(METHODS[architecture], told)
    if isinstance(method, LowRank) and _scales_wrongly(about.version):
        return method.model_copy(update={"alpha": float(method.r)})
    return method


def activation(name: str) -> str:
    """Return transformers' name of a non-linearity; raises CapabilityError for an unknown one."""
    found = NON_LINEARITIES.get(name.lower())
    if found is None:
        raise CapabilityError(
            f"the adapter's non-linearity {name[:60]!r} is not known",
            hint=f"known: {', '.join(NON_LINEARITIES)}",
        )
    return found


def _scales_wrongly(version: str) -> bool:
    """Say whether a release of ``adapters`` trained LoRA with the scaling 1, whatever alpha is.

    That is so before 1.1.0, and what it saved computes as trained with alpha = r alone; before it
    was called ``adapters`` it scaled by alpha / r.
    """
    found = re.match(r"adapters\.(\d{1,4})\.(\d{1,4})\.", version)
    return found is not None and (int(found[1]), int(found[2])) < (1, 1)


def validated(model: type[Model], told: object) -> Model:
    """Return a stranger's settings; raises CapabilityError that names the first that is wrong."""
    try:
        return model.model_validate(told)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])[:60]
        if first["type"] == "extra_forbidden":
            what = f"the setting {key!r}, which is not known"
        elif first["type"] == "missing":
            raise CapabilityError(f"the adapter's config lacks {key!r}") from error
        else:
            what = f"{key} = {repr(first['input'])[:60]}"
        raise CapabilityError(
            f"the adapter has {what}, and would compute otherwise than what there is here",
            hint="what is imported is told in docs/exchange.md; train others again",
        ) from error
