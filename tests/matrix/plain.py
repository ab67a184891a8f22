"""Load a version as somebody does who has transformers and PEFT only."""

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from adapterhub_lite.heads import auto_class
from adapterhub_lite.training.plan import Plan
from adapterhub_lite.transformer import quiet_transformers
from adapterhub_lite.tuners.wrapping import quiet_peft

TEXTS = ("the apple is sweet and ripe", "a rusty bolt")


def load_plainly(folder: Path, plan: Plan) -> Any:
    """Load a whole model, or a base with a LoRA on it."""
    model_class = auto_class(plan.head.kind)
    with quiet_transformers(), quiet_peft():
        if not plan.method.spec.needs_base:
            return model_class.from_pretrained(folder)
        labels = plan.head.labels or (("value",) if plan.head.problem == "regression" else ())
        sizes: dict[str, Any] = {"num_labels": len(labels)} if labels else {}
        if plan.architecture.model_type == "llama" and plan.head.kind == "question-answering":
            # transformers calls this class's body otherwise than the files do, and leaves it random
            sizes["key_mapping"] = {r"^model\.": "transformer."}
        base = model_class.from_pretrained(plan.base.path, **sizes)
        return PeftModel.from_pretrained(base, folder)


@torch.no_grad()
def answered(model: Any, tokenizer: Any, *, writes: bool) -> torch.Tensor:
    """Return logits, or last hidden states, for two texts; ``writes``: a decoder needs them too."""
    encoded = tokenizer(list(TEXTS), padding=True, return_tensors="pt", padding_side="right")
    batch = {name: encoded[name] for name in ("input_ids", "attention_mask")}
    if writes:
        batch["decoder_input_ids"] = encoded["input_ids"]
    logits: torch.Tensor = model.eval()(**batch)[0]
    return logits
