"""Which adapters are a change of their base's weights, and why the others are refused."""

from collections.abc import Mapping
from typing import Any, Final

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.streaming.adapters.files import AdapterFiles

READ: Final = frozenset({"LORA", "IA3"})
NO_WEIGHTS: Final[Mapping[str, str]] = {
    "ADAPTION_PROMPT": "gated prompts inside the attention",
    "BOTTLENECK": "small non-linear networks beside the layers",
    "CARTRIDGE": "keys and values before the text",
    "CPT": "embeddings before the text",
    "LILY": "experts chosen for each text",
    "MULTITASK_PROMPT_TUNING": "embeddings before the text",
    "POLY": "LoRAs chosen for each task",
    "PREFIX_TUNING": "keys and values before the text",
    "PROMPT_TUNING": "embeddings before the text",
    "P_TUNING": "embeddings before the text",
    "SHADOW": "a small network beside the base",
    "XLORA": "LoRAs chosen for each text",
}
"""Kinds that are no change of weights, and what they are."""
BAKED: Final = frozenset(
    {
        *("ADALORA", "ADAMSS", "BEFT", "BOFT", "C3A", "DEFT", "DELORA", "FOURIERFT"),
        *("FROD", "GLORA", "GRALORA", "HIRA", "HRA", "LN_TUNING", "LOHA", "LOKR", "MISS", "OFT"),
        *("OSF", "PEANUT", "PSOFT", "PVERA", "RANDLORA", "ROAD", "SHIRA", "TRAINABLE_TOKENS"),
        *("SUPERTUNING", "TINYLORA", "UNILORA", "VBLORA", "VERA", "WAVEFT"),
    }
)
"""Kinds that can be merged into their base, and are not computed here."""
ROUTED: Final[Mapping[str, str]] = {
    "alora_invocation_tokens": "it counts only from an invocation text on (aLoRA)",
    "arrow_config": "it chooses LoRAs for each token (Arrow)",
}
"""Settings of LoRA that make it no change of weights."""
BAKED_SETTINGS: Final = frozenset(
    {
        *("kasa_config", "layer_replication", "megatron_config", "monteclora_config"),
        *("target_parameters", "trainable_token_indices", "use_bdlora", "use_qalora"),
        "velora_config",
    }
)
NEUTRAL: Final = frozenset(
    {
        *("alpha_pattern", "auto_mapping", "base_model_name_or_path", "bias", "corda_config"),
        *("ensure_weight_tying", "eva_config", "exclude_modules", "fan_in_fan_out"),
        *("feedforward_modules", "inference_mode", "init_ia3_weights", "init_lora_weights"),
        *("layers_pattern", "layers_to_transform", "loftq_config", "lora_alpha", "lora_bias"),
        *("lora_dropout", "lora_ga_config", "megatron_core", "modules_to_save", "peft_type"),
        *("peft_version", "qalora_group_size", "r", "rank_pattern", "revision", "runtime_config"),
        *("target_modules", "task_type", "use_dora", "use_rslora"),
    }
)
"""Settings that are read, or that the weights in the file show already."""


def refuse_other_kinds(files: AdapterFiles) -> str:
    """Return the adapter's kind, LORA or IA3; raises CapabilityError for others, with the reason.

    Raises BaseModelError for a kind or a setting that nobody knows.
    """
    kind = files.text("peft_type", "")
    if kind in NO_WEIGHTS:
        raise CapabilityError(
            f"{files.label} cannot be merged: {kind} is no change of weights, but "
            f"{NO_WEIGHTS[kind]}",
            hint="serve it beside its base; LoRA and IA3 can be merged",
        )
    if kind in BAKED:
        raise CapabilityError(
            f"{files.label} is an adapter of the kind {kind}, which is not read directly",
            hint=bake_hint(files.label),
        )
    if kind not in READ:
        raise files.malformed(f"its config names no known kind of adapter: {kind[:40]!r}")
    for key, value in files.config.items():
        if value:
            _check_setting(files, key, value)
    return kind


def bake_hint(ref: str) -> str:
    """Return how an adapter becomes a whole model."""
    return f"bake it first: ahl bake {ref} --into NAME"


def _check_setting(files: AdapterFiles, key: str, value: Any) -> None:
    if key in ROUTED:
        raise CapabilityError(
            f"{files.label} cannot be merged: it is no change of weights, {ROUTED[key]}",
            hint="serve it beside its base",
        )
    if key in BAKED_SETTINGS:
        raise CapabilityError(
            f"{files.label} uses {key}, which is not read directly", hint=bake_hint(files.label)
        )
    if key not in NEUTRAL:
        raise files.malformed(
            f"its config has an unknown key {key[:40]!r}", hint="it may be of a newer PEFT"
        )
