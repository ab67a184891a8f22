"""All of PEFT's methods: one class, driven by the params model that a spec carries."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, cast

import torch
from torch import nn

from adapterhub_lite.architecture import Architecture
from adapterhub_lite.errors import AdapterHubError, CapabilityError, IntegrityError
from adapterhub_lite.probe import answers, difference
from adapterhub_lite.protocols import Attached, LoadedBase, TokenOwners
from adapterhub_lite.specs import Head
from adapterhub_lite.transformer import empty_model
from adapterhub_lite.tuners.files import (
    adapter_state,
    put_state,
    read_state,
    saved_heads,
    write_adapter,
)
from adapterhub_lite.tuners.together import require_heads_alone
from adapterhub_lite.tuners.wrapping import (
    PEFT_ERRORS,
    first_line,
    quiet_peft,
    trainable_names,
    unwrap_saved_modules,
    wrap,
)
from adapterhub_lite_peft.checks import (
    as_reason,
    reasons_before,
    reasons_of_fit,
    reasons_of_names,
    reasons_of_sizes,
)
from adapterhub_lite_peft.config import PREFIXES, PROMPTS, build_config
from adapterhub_lite_peft.derived import load_derived, save_derived
from adapterhub_lite_peft.files import read_params
from adapterhub_lite_peft.fused import fuse
from adapterhub_lite_peft.in_place import copy_outputs
from adapterhub_lite_peft.initial import as_plain_lora, changes_base
from adapterhub_lite_peft.mixed import LoraHost
from adapterhub_lite_peft.params import PeftParams
from adapterhub_lite_peft.schedule import step_hooks
from adapterhub_lite_peft.skeleton import undisturbed
from adapterhub_lite_peft.table import ENTRIES
from adapterhub_lite_peft.together import (
    reasons_against,
    reasons_unless_plain,
    stacked,
    write_lora_average,
)

DATA_INITS: Final = ("pissa", "olora", "loftq")
"""Beginnings of the names of initialisations that read weights, which a skeleton has not."""
TOLERANCE: Final = {torch.float32: 1e-4}
"""How far a merged model's answers may be from the adapter's; 16-bit weights round at 2⁻⁸."""
SAVED_AS: Final = {"prompt_tuning_init": "RANDOM", "prompt_tuning_init_text": None}
"""An initialisation text is spent once training starts, and would need its tokenizer again."""


class PeftMethod:
    """A method of PEFT; its kind is told by the params."""

    def __init__(self) -> None:
        self._counted: tuple[tuple[Architecture, Head, PeftParams], int] | None = None
        """What was checked last, and how much of it learns, which a plan asks next."""

    def check(self, architecture: Architecture, head: Head, params: PeftParams) -> Sequence[str]:
        """Try the method on the base's skeleton, and say what does not fit."""
        if reasons := reasons_before(architecture, head, params):
            return reasons
        try:
            base = self._skeleton(architecture, head, params)
            if reasons := [*reasons_of_sizes(base, params), *reasons_of_names(base, params)]:
                return reasons
            model = wrap_skeleton(base, params)
            self._counted = (architecture, head, params), _learning(model)
            return reasons_of_fit(model, base, params)
        except (AdapterHubError, *PEFT_ERRORS) as error:
            return [as_reason(error)]

    def count_trainable(self, architecture: Architecture, head: Head, params: PeftParams) -> int:
        """Count on the base's skeleton: the adapter's parameters and the head's."""
        if self._counted and self._counted[0] == (architecture, head, params):
            return self._counted[1]
        base = self._skeleton(architecture, head, params)
        return _learning(wrap_skeleton(base, params))

    def attach(self, base: LoadedBase, params: PeftParams) -> Attached:
        """Wrap a loaded base; what is drawn comes from torch's global generator.

        Raises CapabilityError for what only the loaded weights tell.
        """
        _refuse_integer_heads(base)
        if base.quantised:
            _refuse_on_quantised(base, params)
        config = build_config(base, params)
        model = wrap(base, config)
        if changes_base(config):
            model.first_state = adapter_state(model)
        _leave_room(base, params)
        entry = ENTRIES[params.peft_type]
        if base.quantised and entry.adds_in_place:
            copy_outputs(model)
        return Attached(
            model,
            base.tokenizer,
            base.path,
            trainable_names(model),
            base.head,
            entry.learning_rate,
            **step_hooks(model, params.model_dump().get("total_step")),
        )

    def save(self, attached: Attached, folder: Path) -> None:
        """Write ``adapter_config.json``, ``adapter_model.safetensors`` and the tokenizer."""
        model = cast("Any", attached.model)
        config = model.peft_config["default"]
        changes = dict(SAVED_AS)
        if config.peft_type == "ADALORA":
            # Pruned ranks stay in the file as zeros: exact whenever it is written.
            config.rank_pattern = None
        state = adapter_state(model)
        if changes_base(config):
            state, plain = as_plain_lora(config, state, model.first_state)
            changes |= plain
        if getattr(config, "prompt_tuning_init", None) == "TEXT":
            # Where a prompt began says nothing of where it ended, and PEFT would ask for a path.
            changes |= {"prompt_tuning_init": "RANDOM", "prompt_tuning_init_text": None}
            changes |= {"tokenizer_name_or_path": None}
        write_adapter(folder, config, state, changes)
        save_derived(model, ENTRIES[str(config.peft_type.value)], folder)
        attached.tokenizer.save_pretrained(folder)

    def load(self, base: LoadedBase, folder: Path) -> LoadedBase:
        """Wrap a fresh base and put the saved tensors in; strict in keys, shapes and settings.

        Raises IntegrityError or CapabilityError for files that do not fit or are not supported.
        """
        params = read_params(folder)
        state = read_state(folder)
        # plain LoRA made of PiSSA has twice its rank
        reasons = [*reasons_of_sizes(base, params, slack=2), *reasons_of_names(base, params)]
        if reasons:
            raise IntegrityError(f"the adapter does not fit this base: {reasons[0]}")
        config = build_config(replace(base, new=saved_heads(base, state)), params)
        # AdaLoRA's forward looks up its trainable adapter, which inference mode leaves unset
        config.inference_mode = config.peft_type != "ADALORA"
        with undisturbed():
            model = wrap(base, config)
        if changes_base(config):
            model.first_state = adapter_state(model)
        put_state(model, state)
        load_derived(model, ENTRIES[params.peft_type], folder)
        model.requires_grad_(False)
        _leave_room(base, params)
        return replace(base, model=model.eval())

    def bake(self, base: LoadedBase, folder: Path) -> LoadedBase:
        """Merge an adapter into a base in floating point, and compare the answers.

        Raises CapabilityError where the method cannot be merged, or the answers would change.
        """
        entry = ENTRIES[read_params(folder).peft_type]
        if "bake" not in entry.capabilities:
            raise CapabilityError(
                f"{entry.name} cannot be merged into its base", hint="keep it as an adapter"
            )
        if base.quantised:
            raise CapabilityError(
                "a quantised base cannot take an adapter in", hint="dequantise it first"
            )
        adapted = cast("Any", self.load(base, folder).model)
        before = answers(adapted)
        try:
            with quiet_peft():
                unwrap_saved_modules(adapted)
                merged = adapted.merge_and_unload().eval()
        except PEFT_ERRORS as error:
            raise CapabilityError(
                f"this adapter cannot be merged: {first_line(error)}", hint="keep it as an adapter"
            ) from error
        merged.requires_grad_(False)
        off = difference(before, answers(merged))
        if off > TOLERANCE.get(merged.dtype, 0.05):
            raise CapabilityError(
                f"merged, the model would answer differently: {off:.2g} of its largest output",
                hint="keep it as an adapter",
            )
        return replace(base, model=merged)

    def check_together(
        self, folders: Mapping[str, Path], how: Literal["stack", "average"]
    ) -> Sequence[str]:
        """Return what speaks against adapters acting together, told from their files."""
        return reasons_against(folders, how)

    def load_stack(self, base: LoadedBase, folders: Mapping[str, Path], head: str) -> LoadedBase:
        """Put several adapters onto a fresh base; for LoRA the sum of their updates."""
        return stacked(base, folders, head, self.load)

    def write_average(
        self,
        folders: Mapping[str, Path],
        weights: Mapping[str, float],
        heads: Mapping[str, float],
        folder: Path,
    ) -> None:
        """Write the LoRA whose ΔW is the weighted sum of theirs, exactly."""
        write_lora_average(folders, weights, heads, folder)

    def check_split(self, folders: Mapping[str, Path]) -> Sequence[str]:
        """Return what speaks against tokens that have their own adapters, told from files alone."""
        return reasons_unless_plain(folders, "tokens are split among")

    def load_split(
        self, base: LoadedBase, folders: Mapping[str, Path], head: str, owners: TokenOwners
    ) -> LoadedBase:
        """Put LoRAs onto a fresh base, of which each token's owner changes the token."""
        require_heads_alone(base, folders)
        return replace(base, model=cast("Any", LoraHost(base).split(folders, head, owners)))

    def check_fusible(self, folders: Mapping[str, Path]) -> Sequence[str]:
        """Return what speaks against adapters that are weighed, told from files alone."""
        return reasons_unless_plain(folders, "an attention weighs")

    def load_fusible(
        self, base: LoadedBase, folders: Mapping[str, Path], mixture: Callable[[int], nn.Module]
    ) -> None:
        """Put LoRAs beside one another onto a fresh base; a mixture weighs their updates."""
        fuse(base, folders, mixture)

    def host(self, base: LoadedBase) -> LoraHost:
        """Return what holds LoRA adapters on a base, whose rows go through it together."""
        return LoraHost(base)

    def _skeleton(self, architecture: Architecture, head: Head, params: PeftParams) -> LoadedBase:
        needs_weights = ENTRIES[params.peft_type].needs_weights
        return empty_model(architecture.folder, head, "cpu" if needs_weights else "meta")


def _learning(model: nn.Module) -> int:
    return sum(value.numel() for value in model.parameters() if value.requires_grad)


def wrap_skeleton(base: LoadedBase, params: PeftParams) -> Any:
    """Wrap a skeleton, with an initialisation that needs no data."""
    settings = params.model_dump()
    changes: dict[str, Any] = {}
    if str(settings.get("init_lora_weights")).startswith(DATA_INITS):
        changes["init_lora_weights"] = True
    if "prompt_tuning_init" in settings:
        changes["prompt_tuning_init"] = "RANDOM"
    laid_out = params.model_copy(update=changes)
    device = next(base.model.parameters()).device
    with undisturbed(), torch.device(device):
        return wrap(base, build_config(base, laid_out))


def _refuse_on_quantised(base: LoadedBase, params: PeftParams) -> None:
    settings = params.model_dump()
    if settings.get("init_lora_weights") == "loftq":
        raise CapabilityError(
            "loftq quantises the base itself", hint="load the base with the loader fp32"
        )
    eight_bits = any(type(module).__name__ == "Linear8bitLt" for module in base.model.modules())
    if settings.get("use_dora") and eight_bits:
        raise CapabilityError(
            "DoRA needs the base's weights, which bitsandbytes does not give back from int8",
            hint="load the base with the loader nf4, or train plain LoRA",
        )


def _refuse_integer_heads(base: LoadedBase) -> None:
    for name in base.new:
        for value in base.model.get_submodule(name).parameters():
            if not value.is_floating_point():
                raise CapabilityError(
                    f"the new layer {name!r} is quantised and cannot learn",
                    hint="loaders keep a head's new layers in floating point",
                )


def _leave_room(base: LoadedBase, params: PeftParams) -> None:
    """Shorten the tokenizer's longest text by the positions that virtual tokens take."""
    positions = getattr(base.model.config, "max_position_embeddings", None)
    if params.peft_type in PREFIXES | PROMPTS and isinstance(positions, int):
        room = positions - _first_position(base.model) - params.model_dump()["num_virtual_tokens"]
        base.tokenizer.model_max_length = min(base.tokenizer.model_max_length, room)


def _first_position(model: torch.nn.Module) -> int:
    """Return the number of a text's first position: RoBERTa's come after the padding's."""
    paddings = (
        getattr(module, "padding_idx", None)
        for name, module in model.named_modules()
        if "position_embeddings" in name
    )
    return max((padding + 1 for padding in paddings if isinstance(padding, int)), default=0)
