"""From a recipe's parameters to a PEFT config that fits a base and its head."""

from collections.abc import Mapping
from typing import Any, Final

from peft import PeftConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
from peft.utils import TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING as IA3_TARGETS

from adapterhub_lite.errors import CapabilityError, MissingDependencyError
from adapterhub_lite.heads import TASK_TYPES
from adapterhub_lite.protocols import LoadedBase
from adapterhub_lite.tuners.wrapping import PEFT_ERRORS, first_line
from adapterhub_lite_peft.params import PeftParams
from adapterhub_lite_peft.table import ENTRIES

PREFIXES: Final = frozenset({"PREFIX_TUNING", "CARTRIDGE"})
"""Methods that put learned keys and values before the text."""
PROMPTS: Final = frozenset({"PROMPT_TUNING", "P_TUNING", "MULTITASK_PROMPT_TUNING", "CPT"})
"""Methods that put learned embeddings before the text."""


def by_name(table: Mapping[Any, Any], peft_type: str) -> Any:
    """Look a method up in one of PEFT's tables: its keys are an enumeration of texts."""
    return table.get(peft_type)


def build_config(base: LoadedBase, params: PeftParams) -> Any:
    """Return the PEFT config of a method for one base.

    Raises CapabilityError for values that PEFT refuses, and MissingDependencyError when the
    installed PEFT is older than the method or one of its fields.
    """
    settings = params.model_dump()
    if params.peft_type == "LORA" and params.model_dump().get("init_lora_weights") == "loftq":
        settings["loftq_config"] = {"loftq_bits": 4, "loftq_iter": 1} | settings["loftq_config"]
    if params.peft_type in PREFIXES | PROMPTS:
        settings |= _geometry(base, params.peft_type)
    if settings.get("prompt_tuning_init") == "TEXT":
        settings["tokenizer_name_or_path"] = str(base.path)
    if params.peft_type == "ADALORA" and settings["total_step"] is None:
        # the run tells how long it is when it starts; the least that PEFT accepts until then
        settings["total_step"] = settings["tinit"] + settings["tfinal"] + 1
    if _needs_targets(base, params, settings):
        settings["target_modules"] = _fallback(base, ENTRIES[params.peft_type].fallback)
    wanted = [*dict.fromkeys([*base.new, *(settings.pop("modules_to_save", None) or ())])]
    config = _construct(params.peft_type, settings, TASK_TYPES[base.head.kind])
    # Some classes have no such field; PEFT's wrappers look for the attribute all the same.
    config.modules_to_save = wanted or None
    return config


def _construct(peft_type: str, settings: Mapping[str, Any], task_type: str) -> PeftConfig:
    config_class = by_name(PEFT_TYPE_TO_CONFIG_MAPPING, peft_type)
    known = getattr(config_class, "__dataclass_fields__", {})
    absent = [name for name in settings if name not in known]
    if config_class is None or absent:
        what = f"{absent[0]!r} of " if config_class else ""
        raise MissingDependencyError(
            f"a PEFT with {what}{ENTRIES[peft_type].name}", install="pip install --upgrade peft"
        )
    try:
        config: PeftConfig = config_class(task_type=task_type, **settings)
    except PEFT_ERRORS as error:
        raise CapabilityError(f"PEFT refuses these settings: {first_line(error)}") from error
    return config


def _geometry(base: LoadedBase, peft_type: str) -> dict[str, Any]:
    """Return the base's sizes, under the names that PEFT looks for and not every config has.

    A T5's keys are as wide as its config says, and its prefix belongs to the decoder's layers.
    """
    config = base.model.config
    heads = config.num_attention_heads
    width = config.hidden_size
    layers = config.num_hidden_layers
    if peft_type in PREFIXES:
        width = heads * getattr(config, "d_kv", width // heads)
        layers = getattr(config, "num_decoder_layers", None) or layers
    return {"token_dim": width, "num_attention_heads": heads, "num_layers": layers}


def _needs_targets(base: LoadedBase, params: PeftParams, settings: Mapping[str, Any]) -> bool:
    """Say whether nobody names targets: neither the recipe nor PEFT for this architecture.

    Raises CapabilityError when they cannot be found either.
    """
    tuner = by_name(PEFT_TYPE_TO_TUNER_MAPPING, params.peft_type)
    own = IA3_TARGETS if params.peft_type == "IA3" else None
    known = getattr(tuner, "target_module_mapping", own)
    named = settings.get("target_modules") or settings.get("target_parameters")
    model_type = base.model.config.model_type
    if "target_modules" not in settings or named or not known or model_type in known:
        return False
    entry = ENTRIES[params.peft_type]
    if not entry.fallback:
        raise CapabilityError(
            f"PEFT does not know which layers of a {model_type} to adapt",
            hint="name them in target_modules and feedforward_modules; lora finds them itself",
        )
    return True


def _fallback(base: LoadedBase, kind: str) -> str | list[str]:
    """Return all linear layers, or the normalisation layers by their whole names."""
    if kind == "linear":
        return "all-linear"
    return [name for name, module in base.model.named_modules() if "Norm" in type(module).__name__]
