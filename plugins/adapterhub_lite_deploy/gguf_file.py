"""A Llama, or a LoRA adapter of one, as a gguf file; asked again by the file's own numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, AutoModelForCausalLM

from adapterhub_lite.deployment.asking import folder_answers
from adapterhub_lite.inference.artifact import read_artifact_info
from adapterhub_lite.protocols import Questions, Tolerance
from adapterhub_lite.specs import Params, ResolvedBase
from adapterhub_lite.transformer import load_tokenizer, quiet_transformers
from adapterhub_lite_deploy import GgufParams
from adapterhub_lite_deploy.llama import (
    field,
    our_name,
    require_llama,
    their_name,
    turned,
    turned_back,
    weights,
    write_sizes,
)
from adapterhub_lite_deploy.lora import Lora, patched_model, read_lora
from adapterhub_lite_deploy.vocabulary import read_tokenizer, write_vocabulary

MODEL: Final = "model.gguf"
ADAPTER: Final = "adapter.gguf"
TYPES: Final = {
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
TOLERANCES: Final = {
    "f32": Tolerance(),
    "f16": Tolerance(difference=0.01, agreement=0.98),
    "q8_0": Tolerance(difference=0.1, agreement=0.9),
}
"""What rounding the weights may do; equal decisions are those of the next token."""


class GgufExporter:
    """Writes ``model.gguf``."""

    def export(
        self, folder: Path, destination: Path, base: ResolvedBase | None, params: GgufParams
    ) -> None:
        """Write ``destination`` from a whole model's folder.

        Raises CapabilityError for another architecture than Llama, and for a tokenizer that
        llama.cpp does not have.
        """
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        require_llama(config)
        wanted, file_type = TYPES[params.dtype]
        writer = gguf.GGUFWriter(destination / MODEL, "llama")
        writer.add_type("model")
        writer.add_name(read_artifact_info(folder).objective)
        writer.add_file_type(file_type)
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        write_sizes(writer, config)
        write_vocabulary(writer, folder, load_tokenizer(folder), config.vocab_size)
        for name, numbers in weights(folder, config):
            _add(writer, name, numbers, wanted)
        _close(writer)

    def answers(
        self, destination: Path, asked: Questions, params: GgufParams
    ) -> Sequence[NDArray[Any]]:
        """Ask what transformers reads from the file, with the file's own tokens and template."""
        with quiet_transformers():
            model = AutoModelForCausalLM.from_pretrained(
                destination, gguf_file=MODEL, dtype=torch.float32
            )
        tokenizer = read_tokenizer(gguf.GGUFReader(destination / MODEL))
        return folder_answers(model.eval(), tokenizer, destination, asked)

    def tolerance(self, params: GgufParams) -> Tolerance:
        """Return what the kind of number allows."""
        return TOLERANCES[params.dtype]

    def usage(self, destination: Path) -> str:
        """Return a line of a shell."""
        return f"llama-cli -m {destination / MODEL}"


class GgufLoraExporter:
    """Writes ``adapter.gguf``, which goes with a gguf of the base."""

    def export(
        self, folder: Path, destination: Path, base: ResolvedBase | None, params: Params
    ) -> None:
        """Write ``destination`` from an adapter's folder.

        Raises CapabilityError for what is no plain LoRA of a Llama.
        """
        assert base is not None, "the spec takes adapters alone"
        config = AutoConfig.from_pretrained(base.path, trust_remote_code=False)
        require_llama(config)
        lora = read_lora(folder, "gguf-lora")
        writer = gguf.GGUFWriter(destination / ADAPTER, "llama")
        writer.add_type("adapter")
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", lora.scale * lora.rank)
        for module, (down, up) in lora.factors.items():
            name = f"{their_name(module)}.weight"
            writer.add_tensor(f"{name}.lora_a", down)
            writer.add_tensor(f"{name}.lora_b", np.ascontiguousarray(turned(name, up, config)))
        _close(writer)

    def answers(
        self, destination: Path, asked: Questions, params: Params
    ) -> Sequence[NDArray[Any]]:
        """Add what the file says to the base's weights, as llama.cpp does, and ask that."""
        assert asked.base is not None, "the spec takes adapters alone"
        folder = Path(asked.base.path)
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        lora = _read_adapter(destination / ADAPTER, config)
        model = patched_model(folder, asked.head, lora)
        return folder_answers(model, load_tokenizer(folder), destination, asked)

    def tolerance(self, params: Params) -> Tolerance:
        """Return the default: the factors are in 32 bits."""
        return Tolerance()

    def usage(self, destination: Path) -> str:
        """Return a line of a shell."""
        return f"llama-cli -m BASE.gguf --lora {destination / ADAPTER}"


def _add(
    writer: gguf.GGUFWriter,
    name: str,
    numbers: NDArray[Any],
    wanted: gguf.GGMLQuantizationType,
) -> None:
    """Add a tensor; vectors stay in 32 bits, and rows that no block divides in 16."""
    kind = wanted if numbers.ndim > 1 else gguf.GGMLQuantizationType.F32
    block, _ = gguf.GGML_QUANT_SIZES[kind]
    if numbers.shape[-1] % block:
        kind = gguf.GGMLQuantizationType.F16
    data = gguf.quants.quantize(np.ascontiguousarray(numbers), kind)
    writer.add_tensor(name, data, raw_dtype=kind)


def _close(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _read_adapter(file: Path, config: Any) -> Lora:
    """Return the factors in an adapter's file, by transformers' names of the modules."""
    reader = gguf.GGUFReader(file)
    found = {tensor.name: np.array(tensor.data) for tensor in reader.tensors}
    factors = {}
    for name, down in found.items():
        if name.endswith(".lora_a"):
            weight = name.removesuffix(".lora_a")
            up = turned_back(weight, found[f"{weight}.lora_b"], config)
            factors[our_name(weight).removesuffix(".weight")] = (down, up)
    rank = min(len(down) for down, _ in factors.values())
    return Lora(factors, rank, field(reader, "adapter.lora.alpha") / rank)
