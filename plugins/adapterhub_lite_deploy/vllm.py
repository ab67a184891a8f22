"""A LoRA directory that vLLM loads, held against what it refuses."""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from adapterhub_lite.bases import TOKENIZER_FILES
from adapterhub_lite.deployment.asking import copy_files, folder_answers
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.protocols import Questions, Tolerance
from adapterhub_lite.specs import Params, ResolvedBase
from adapterhub_lite.transformer import load_tokenizer
from adapterhub_lite.tuners.files import CONFIG, WEIGHTS
from adapterhub_lite_deploy.lora import lora_config, patched_model, read_lora

RANKS: Final = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What ``--max-lora-rank`` may be; an adapter's own rank is at most that."""

COPIED: Final = (WEIGHTS, *TOKENIZER_FILES, "added_tokens.json", "chat_template.jinja")


class VllmExporter:
    """Writes ``adapter_config.json``, the factors and the tokenizer."""

    def export(
        self, folder: Path, destination: Path, base: ResolvedBase | None, params: Params
    ) -> None:
        """Write ``destination`` from an adapter's folder.

        Raises CapabilityError for what vLLM refuses when it loads an adapter.
        """
        assert base is not None, "the spec takes adapters alone"
        lora = read_lora(folder, "vllm")
        config = lora_config(folder)
        _refuse(lora.rank, config)
        named = base.ref.removeprefix("hub:").partition("@")[0]
        text = json.dumps(config | {"base_model_name_or_path": named}, indent=2, sort_keys=True)
        (destination / CONFIG).write_text(text + "\n", encoding="utf-8")
        copy_files(folder, destination, COPIED)

    def answers(
        self, destination: Path, asked: Questions, params: Params
    ) -> Sequence[NDArray[Any]]:
        """Add the factors to the base's weights, scaled as vLLM scales them, and ask that."""
        assert asked.base is not None, "the spec takes adapters alone"
        lora = read_lora(destination, "vllm")
        model = patched_model(Path(asked.base.path), asked.head, lora)
        return folder_answers(model, load_tokenizer(destination), destination, asked)

    def tolerance(self, params: Params) -> Tolerance:
        """Return the default: the factors are the version's own."""
        return Tolerance()

    def usage(self, destination: Path) -> str:
        """Return the line that starts the server."""
        config = lora_config(destination)
        rank = next(rank for rank in RANKS if rank >= config["r"])
        words = ["vllm", "serve", config["base_model_name_or_path"], "--enable-lora",
                 "--max-lora-rank", str(rank),
                 "--lora-modules", f"{destination.name}={destination}"]  # fmt: skip
        return shlex.join(words)


def _refuse(rank: int, config: Mapping[str, Any]) -> None:
    reasons = []
    if rank > max(RANKS):
        reasons.append(f"its rank is {rank}, and {max(RANKS)} is the highest")
    if isinstance(config.get("target_modules"), str):
        reasons.append("its modules are named by a pattern, and vLLM wants a list")
    if not math.isfinite(config["lora_alpha"]) or config["lora_alpha"] <= 0:
        reasons.append(f"its alpha is {config['lora_alpha']}")
    if reasons:
        raise CapabilityError(
            f"vLLM refuses the adapter: {'; '.join(reasons)}",
            hint="deploy it merged into its base: --to hf",
        )
