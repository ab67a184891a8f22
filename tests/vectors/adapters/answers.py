"""Saves adapters of AdapterHub's ``adapters`` library, and what they answer; see regenerate.py.

Each case is a folder as ``save_adapter`` writes it, and ``expected.safetensors``: the ids and mask
that went in, and the last hidden states or logits that came out.
"""

import importlib.metadata
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import adapters
import torch
import transformers
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent
NAME = "tickets"
DISTRIBUTIONS = ("adapters", "safetensors", "torch", "transformers")
TOKENS = torch.tensor([[2, 5, 17, 30, 9, 3], [2, 41, 8, 3, 0, 0]])
CLASSES = {
    "gpt2": transformers.AutoModelForCausalLM,
    "llama": transformers.AutoModelForCausalLM,
    "t5": transformers.AutoModelForSeq2SeqLM,
    "bart": transformers.AutoModelForSeq2SeqLM,
}


@dataclass(frozen=True)
class Case:
    """An adapter of a base: a config of ``adapters`` by its name, what is changed in it, a head."""

    base: str
    config: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    head: Mapping[str, Any] | None = None


SMALL = {"reduction_factor": 4}
TANH = {"activation_function": "tanh"}
RELU = {"activation_function": "relu"}
POOLED = {"layers": 1, "use_pooler": True, "activation_function": None}
CASES = {
    "bert-seq": Case("bert", "seq_bn", SMALL, head=TANH),
    "bert-double": Case("bert", "double_seq_bn", {**SMALL, "non_linearity": "gelu"}, head=POOLED),
    "bert-parallel": Case("bert", "par_bn", {**SMALL, "mh_adapter": True}),
    "bert-left-out": Case("bert", "seq_bn", {**SMALL, "leave_out": [0], "mh_adapter": True}),
    "bert-lora": Case("bert", "lora", {"r": 2, "alpha": 6, "intermediate_lora": True}, head=TANH),
    "bert-ia3": Case("bert", "ia3"),
    "bert-prefix": Case("bert", "prefix_tuning", {"prefix_length": 3, "bottleneck_size": 5}),
    "roberta-seq": Case("roberta", "seq_bn", {**SMALL, "non_linearity": "leakyrelu"}, head=TANH),
    "roberta-prefix": Case("roberta", "prefix_tuning_flat", {"prefix_length": 3}, head=TANH),
    "distilbert-seq": Case("distilbert", "seq_bn", {**SMALL, "mh_adapter": True}, head=RELU),
    "distilbert-double": Case("distilbert", "double_seq_bn", SMALL),
    "gpt2-seq": Case("gpt2", "seq_bn", {**SMALL, "mh_adapter": True}),
    "gpt2-parallel": Case("gpt2", "par_bn", SMALL),
    "llama-lora": Case("llama", "lora", {"r": 2, "alpha": 6}),
    "llama-double-seq": Case("llama", "seq_bn", {**SMALL, "mh_adapter": True}),
    "llama-parallel": Case("llama", "par_bn", SMALL),
    "t5-seq": Case("t5", "seq_bn", {**SMALL, "mh_adapter": True, "cross_adapter": True}),
    "t5-double": Case("t5", "double_seq_bn", SMALL),
    "bart-seq": Case("bart", "seq_bn", {**SMALL, "mh_adapter": True, "cross_adapter": True}),
    "bart-parallel": Case("bart", "par_bn", SMALL),
}


def write(name: str, case: Case) -> None:
    """Attach an adapter of random numbers, save it, and run it."""
    folder, base = Path("cases", name), Path("bases", case.base)
    config = adapters.AdapterConfig.load(case.config, **case.changes)
    if case.base in CLASSES:
        model = CLASSES[case.base].from_pretrained(base, attn_implementation="eager")
        adapters.init(model)
        model.add_adapter(NAME, config=config)
    else:
        model = adapters.AutoAdapterModel.from_pretrained(base, attn_implementation="eager")
        model.add_adapter(NAME, config=config)
        if case.head is not None:
            labels = dict(enumerate("abc"))
            model.add_classification_head(NAME, num_labels=3, id2label=labels, **case.head)
    model.set_active_adapters(NAME)
    randomise(model, sum(name.encode()))
    model.eval()
    # one tensor under several names, which a prefix is, is saved by pickle alone
    safe = not case.config.startswith("prefix")
    model.save_adapter(str(folder), NAME, with_head=case.head is not None, use_safetensors=safe)
    mask = (TOKENS != 0).long()
    asked = {"input_ids": TOKENS, "attention_mask": mask}
    if model.config.is_encoder_decoder:
        asked["decoder_input_ids"] = TOKENS[:, :4].contiguous()
    with torch.no_grad():
        answer = model(**asked)[0]
        model.set_active_adapters(None)
        if torch.allclose(model(**asked)[0], answer, atol=1e-2):
            raise SystemExit(f"the adapter of {name} does nothing")
    save_file({**asked, "answer": answer.contiguous()}, folder / "expected.safetensors")


def randomise(model: Any, seed: int) -> None:
    """Fill all that was added with random numbers: much of it starts at zero."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.named_parameters():
        if f".{NAME}." in name:
            value.data = torch.randn(value.shape, generator=generator) * 0.5


def main() -> None:
    """Write every case and the versions that took part."""
    os.chdir(HERE)  # the folders name their base as it is given
    shutil.rmtree("cases", ignore_errors=True)
    Path("cases").mkdir()
    for name, case in CASES.items():
        write(name, case)
        print(name, flush=True)
    known = {name: importlib.metadata.version(name) for name in DISTRIBUTIONS}
    Path("versions.json").write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
