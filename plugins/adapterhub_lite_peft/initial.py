"""Initialisations that change the base's weights, saved as plain LoRA for the unchanged base.

PiSSA and OLoRA take the adapter's first value s·B₀A₀ out of the base. Against the base as it was,
what was learnt is s·(BA - B₀A₀), which is a LoRA of twice the rank: exact, without computing a
decomposition again on another machine, and readable by whatever reads LoRA.
Papers: https://arxiv.org/abs/2404.02948, https://arxiv.org/abs/2406.01775.
"""

from math import sqrt
from typing import Any, Final

import torch

from adapterhub_lite.tuners.files import State

DRAWN: Final = ("pissa", "olora")
"""Beginnings of the names of these initialisations."""


def changes_base(config: Any) -> bool:
    """Say whether a config's initialisation takes its first value out of the base."""
    return str(getattr(config, "init_lora_weights", "")).startswith(DRAWN)


def as_plain_lora(config: Any, state: State, first: State) -> tuple[State, dict[str, Any]]:
    """Return the weights of the equal plain LoRA, and the settings that differ."""
    doubled = dict(state)
    for name, tensor in state.items():
        if ".lora_A." in name:
            doubled[name] = torch.cat([tensor, first[name]], dim=0)
        elif ".lora_B." in name:
            doubled[name] = torch.cat([tensor, -first[name]], dim=1)
    # the scale alpha / r stays; with rank-stabilised LoRA it is alpha / √r
    growth = sqrt(2) if config.use_rslora else 2
    return doubled, {
        "init_lora_weights": True,
        "r": 2 * config.r,
        "lora_alpha": growth * config.lora_alpha,
        "rank_pattern": {name: 2 * rank for name, rank in config.rank_pattern.items()},
        "alpha_pattern": {name: growth * alpha for name, alpha in config.alpha_pattern.items()},
    }
