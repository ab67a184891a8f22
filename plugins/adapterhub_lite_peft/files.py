"""An adapter's config as PEFT writes it, believed nothing: each value goes through our params."""

from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Final

from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from pydantic import ValidationError

from adapterhub_lite.errors import CapabilityError, IntegrityError
from adapterhub_lite.tuners.files import CONFIG, read_config
from adapterhub_lite_peft.config import by_name
from adapterhub_lite_peft.generate import OWNED
from adapterhub_lite_peft.params import PeftParams, params_model
from adapterhub_lite_peft.table import ENTRIES

REBUILT: Final = frozenset(
    {"token_dim", "num_transformer_submodules", "num_attention_heads", "num_layers"}
    | {"tokenizer_name_or_path", "tokenizer_kwargs", "runtime_config"}
)
"""Fields of a file that are told by the base, or that say nothing about the weights."""
INERT: Final = frozenset({"auto_mapping", "megatron_config"})
"""Fields by which a config could name code; they have to be empty."""


def read_params(folder: Path) -> PeftParams:
    """Read and judge an adapter's config.

    Raises IntegrityError for a file that is malformed or has unknown keys, and CapabilityError for
    settings that are not supported, or that name code.
    """
    saved = read_config(folder)
    peft_type = saved.get("peft_type")
    if not isinstance(peft_type, str) or peft_type not in ENTRIES:
        raise IntegrityError(f"{CONFIG} names no known method: {peft_type!r}")
    known = by_name(PEFT_TYPE_TO_CONFIG_MAPPING, peft_type)
    if known is None:
        raise CapabilityError(f"the installed PEFT has no {peft_type}", hint="upgrade peft")
    defaults = {field.name: field for field in fields(known)}
    model = params_model(peft_type)
    for key, value in saved.items():
        if key not in defaults:
            raise IntegrityError(
                f"{CONFIG} has an unknown key {key!r}", hint="it may be of a newer PEFT"
            )
        hidden = key not in model.model_fields and key not in OWNED | REBUILT
        if value and (key in INERT or (hidden and value != _default(known, key))):
            raise CapabilityError(
                f"this adapter uses {key}, which is not supported",
                hint="load it with PEFT itself",
            )
    try:
        return model.model_validate({k: saved[k] for k in model.model_fields if k in saved})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise CapabilityError(f"{CONFIG} has a bad {place}: {first['msg']}") from error


def _default(config: type[Any], key: str) -> Any:
    field = config.__dataclass_fields__[key]
    value = field.default_factory() if field.default_factory is not MISSING else field.default
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
