"""Llama's weights and sizes, between transformers' names and llama.cpp's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import gguf
from numpy.typing import NDArray
from safetensors import safe_open

from adapterhub_lite.architecture import weight_files
from adapterhub_lite.errors import CapabilityError

NAMES: Final = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""transformers' name of a module → llama.cpp's; of a layer's below its number."""

_BACK: Final = {ours: theirs for theirs, ours in NAMES.items()}


def require_llama(config: Any) -> None:
    """Raise CapabilityError for an architecture, or a variant of Llama, that is not written."""
    rope = getattr(config, "rope_parameters", None) or {}
    if config.model_type != "llama":
        reason = f"a {config.model_type!r} model is no Llama"
    elif config.attention_bias or config.mlp_bias:
        reason = "its linear layers have biases"
    elif rope.get("rope_type", "default") != "default":
        reason = f"its positions are scaled ({rope['rope_type']})"
    else:
        return
    raise CapabilityError(f"gguf is written of plain Llama models, and {reason}", hint="take hf")


def their_name(module: str) -> str:
    """Return llama.cpp's name of a module; raises CapabilityError for one that it does not have."""
    if module in NAMES:
        return NAMES[module]
    prefix, _, rest = module.partition("model.layers.")
    number, _, inner = rest.partition(".")
    if prefix == "" and number.isdigit() and inner in NAMES:
        return f"blk.{number}.{NAMES[inner]}"
    raise CapabilityError(f"the module {module!r} has no place in a gguf of Llama", hint="take hf")


def our_name(tensor: str) -> str:
    """Return transformers' name of a weight by llama.cpp's."""
    module = tensor.removesuffix(".weight")
    if module.startswith("blk."):
        _, number, inner = module.split(".", 2)
        return f"model.layers.{number}.{_BACK[inner]}.weight"
    return f"{_BACK[module]}.weight"


def turned(name: str, rows: NDArray[Any], config: Any) -> NDArray[Any]:
    """Return a projection's rows in llama.cpp's order, which pairs neighbours for the rotation.

    transformers pairs a head's first half with its second. Of other weights nothing changes.
    """
    heads = _heads(name, config)
    if heads is None:
        return rows
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def turned_back(name: str, rows: NDArray[Any], config: Any) -> NDArray[Any]:
    """Undo :func:`turned`."""
    heads = _heads(name, config)
    if heads is None:
        return rows
    return rows.reshape(heads, -1, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def _heads(name: str, config: Any) -> int | None:
    part = name.removesuffix(".weight").rpartition(".")[2]
    found = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    return found.get(part)


def weights(folder: Path, config: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield a folder's tensors by llama.cpp's names, as float32 and in its order of rows."""
    for file in weight_files(folder, folder.name):
        with safe_open(file, framework="pt") as stored:
            for name in stored.keys():  # noqa: SIM118  (not a dict: it cannot be iterated)
                theirs = f"{their_name(name.removesuffix('.weight'))}.weight"
                yield theirs, turned(theirs, stored.get_tensor(name).float().numpy(), config)


def write_sizes(writer: gguf.GGUFWriter, config: Any) -> None:
    """Write what llama.cpp has to know of the architecture."""
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))


def field(reader: gguf.GGUFReader, key: str) -> Any:
    """Return a field's value, None where the file has none of that name."""
    found = reader.get_field(key)
    return None if found is None else found.contents()
