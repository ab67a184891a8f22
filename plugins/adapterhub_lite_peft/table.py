"""What PEFT's own configs do not tell: names, papers, capabilities, learning rates, limits.

``methods.toml`` holds it. Its capabilities are not believed but measured: a test compares them
with what each method does on tiny models.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

from pydantic import Field

from adapterhub_lite.specs import Capability, Family, HeadKind, TargetRole

ARXIV: Final = "https://arxiv.org/abs/"
HEADS: Final[frozenset[HeadKind]] = frozenset(get_args(HeadKind))
FAMILIES: Final[frozenset[Family]] = frozenset(get_args(Family))
LETTERS: Final[Mapping[str, Capability]] = {
    "q": "quantised-base",
    "g": "gradient-checkpointing",
    "i": "identity-at-init",
    "b": "bake",
    "s": "several-active",
    "m": "mixed-batch",
    "p": "shared-pass",
    "t": "per-token",
    "f": "fusible",
    "d": "disable",
}
"""The letters in which the table writes capabilities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is said of one PEFT method.

    ``ranks`` name the parameters that may be no larger than the base's widest layer. ``roles`` are
    those of the modules it adapts where nobody names them, as PEFT's own tables choose them.
    ``fallback`` is what is adapted when nobody knows these of an architecture. ``needs_weights``:
    its layout depends on the base's weights, so that it cannot be laid out on the meta device.
    ``adds_in_place``: its layers write to what the base's layer put out, which on a quantised base
    has to be copied first. ``derived`` are tensors of its layers that it computes from the base's
    weights and PEFT does not save.
    ``otherwise`` says why not with other heads than its own, ``refused`` why it cannot be trained
    here at all. ``hidden`` fields cannot be set in a recipe.
    """

    name: str
    summary: str
    paper: str = ""
    capabilities: frozenset[Capability] = frozenset()
    learning_rate: float = 2e-4
    heads: frozenset[HeadKind] = HEADS
    families: frozenset[Family] = FAMILIES
    ranks: frozenset[str] = frozenset()
    roles: frozenset[TargetRole] = frozenset({"query-value"})
    derived: frozenset[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    fallback: Literal["linear", "norm", ""] = "linear"
    needs_weights: bool = False
    adds_in_place: bool = False
    otherwise: str = ""
    refused: str = ""

    @property
    def takes(self) -> frozenset[HeadKind]:
        """The heads it trains with."""
        return frozenset() if self.refused else self.heads

    @property
    def refusals(self) -> Mapping[HeadKind, str]:
        """Why it does not train with the others."""
        reason = self.refused or self.otherwise
        return {head: reason for head in sorted(HEADS - self.takes) if reason}


HIDDEN: Final = frozenset(
    {
        # the base's geometry, which its config tells
        *("token_dim", "num_transformer_submodules", "num_attention_heads", "num_layers"),
        # the tokenizer is the base's own
        *("tokenizer_name_or_path", "tokenizer_kwargs"),
        # files of the writer's machine, or names of code
        *("megatron_config", "megatron_core", "prompt_tuning_init_state_dict_path", "shadow_model"),
        # variants that need data, other adapters or bases that no loader makes
        *("velora_config", "alora_invocation_tokens", "use_qalora", "qalora_group_size"),
    }
)
"""Fields of PEFT's configs that a recipe cannot set, beside those that hold an object."""

Exact: TypeAlias = Annotated[int, Field(ge=-(2**53), le=2**53)]
"""A whole number that a float holds: PEFT divides by it, and with it."""
LORA_INIT: Final = (
    bool
    | Literal["gaussian", "olora", "pissa", "loftq", "orthogonal", "mica"]
    | Annotated[str, Field(pattern=r"^pissa_niter_[0-9]{1,3}$")]
)
TYPES: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "init_lora_weights": LORA_INIT,
        "lora_alpha": Exact | float,
        "loftq_config": dict[Literal["loftq_bits", "loftq_iter"], int],
        "prompt_tuning_init": Literal["TEXT", "SAMPLE_VOCAB", "RANDOM"],
    }
)
"""Fields whose types are not PEFT's: eva, corda and lora_ga need data; alphas may be fractions."""


def _read() -> Mapping[str, Entry]:
    text = (files("adapterhub_lite_peft") / "methods.toml").read_text(encoding="utf-8")
    return MappingProxyType({key: _entry(said) for key, said in tomllib.loads(text).items()})


def _entry(said: dict[str, Any]) -> Entry:
    paper = said.pop("paper", "")
    can = frozenset(LETTERS[letter] for letter in said.pop("can"))
    sets = {key: frozenset(value) for key, value in said.items() if isinstance(value, list)}
    place = paper if not paper or paper.startswith("https:") else ARXIV + paper
    return Entry(**{**said, **sets, "paper": place, "capabilities": can})


ENTRIES: Final = _read()
"""PEFT's name of a method → what is said of it."""
