"""What speaks against a training's settings, told before anything is loaded; free of torch."""

import sys
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Final

from adapterhub_lite.errors import CapabilityError, MissingDependencyError, RecipeError
from adapterhub_lite.finetuning.params import TrainerParams
from adapterhub_lite.protocols import TrainingData

BITSANDBYTES: Final = "bitsandbytes, which holds AdamW's state in 8 bits,"
QUANT_LINE: Final = "pip install 'adapterhub-lite[quant]'"


def refuse_settings(params: TrainerParams, data: TrainingData) -> None:
    """Refuse settings that the rows do not allow, or whose library is not installed.

    Raises RecipeError or MissingDependencyError.
    """
    if params.early_stopping and data.validation is None:
        raise RecipeError(
            "early stopping needs validation rows",
            field="objective.early_stopping",
            hint="give data.validation or data.validation_split, or leave early_stopping out",
        )
    _refuse_mixture(params, data)
    _refuse_curriculum(params, data)
    _require_libraries(params)


def refuse_precision(params: TrainerParams, *, has_gpu: bool) -> None:
    """Refuse a precision that the device cannot train in; raises CapabilityError."""
    if params.precision == "fp16" and not has_gpu:
        raise CapabilityError(
            "precision fp16 cannot train on a CPU", hint="use precision: bf16, or fp32"
        )


def _refuse_mixture(params: TrainerParams, data: TrainingData) -> None:
    names = sorted(set(data.sources))
    for name in ("temperature", "shares"):
        is_given = name in params.model_fields_set and getattr(params, name) not in (1, {})
        if is_given and not names:
            raise RecipeError(
                f"{name} mixes several data sets, and there is one",
                field=f"objective.{name}",
                hint=f"leave {name} out",
            )
    if params.shares and sorted(params.shares) != names:
        raise RecipeError(
            f"shares are given for {_listing(params.shares)}; the data sets are {_listing(names)}",
            field="objective.shares",
            hint="give every data set a share",
        )


def _refuse_curriculum(params: TrainerParams, data: TrainingData) -> None:
    extras = data.train.extras
    if params.curriculum in (None, "length") or params.curriculum in extras:
        return
    known = f"the rows have {_listing(extras)}" if extras else "the rows have no further column"
    raise RecipeError(
        f"there is no column {params.curriculum!r} to order the rows by",
        field="objective.curriculum",
        hint=f'{known}; name it in data.extras, or take "length", which always works',
    )


def _require_libraries(params: TrainerParams) -> None:
    if params.optimizer == "adamw-8bit" and not _is_installed("bitsandbytes"):
        raise MissingDependencyError(BITSANDBYTES, install=QUANT_LINE)
    for name in params.report_to:
        if not _is_installed(name):
            raise MissingDependencyError(name, install=f"pip install 'adapterhub-lite[{name}]'")


def _is_installed(module: str) -> bool:
    if module in sys.modules:
        return sys.modules[module] is not None
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # a parent package is absent
        return False


def _listing(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
