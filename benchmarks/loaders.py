"""What a base costs in each precision: bytes, and seconds a step of a LoRA, beside a plain loop.

    python benchmarks/loaders.py [BASE] [--steps 10] [--rounds 3]

BASE is a folder or any base that adapterhub-lite resolves; "minilm" by default. For each loader a
LoRA of rank 8 on the attention's projections trains on batches of 8 rows of 32 tokens, one thread,
one process. The named peer is a loop written by hand: transformers' from_pretrained with a
BitsAndBytesConfig, PEFT's prepare_model_for_kbit_training and get_peft_model, AdamW. Both take
turns, round by round, so that whatever else the machine does falls on both.
"""

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoModelForSequenceClassification, BitsAndBytesConfig

from adapterhub_lite.api import open_registry
from adapterhub_lite.bases import resolve_base
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.specs import Head, Params, ResolvedBase
from adapterhub_lite.transformer import quiet_transformers
from adapterhub_lite_loaders import FullParams, HalfParams
from adapterhub_lite_loaders.floating import BFloat16Loader, Float32Loader
from adapterhub_lite_quant import Int8Params, NF4Params
from adapterhub_lite_quant.loaders import Int8Loader, NF4Loader, has_bf16

LABELS = ("a", "b", "c", "d")
HEADS = ["classifier", "pooler"]
SKIPPED = ["classifier", "pooler.dense"]
"""transformers matches a name's start or end: "pooler" alone would leave bert.pooler.dense in."""
BATCH, LENGTH = 8, 32

Step = Callable[[], None]


def nf4_by_hand(compute: torch.dtype) -> BitsAndBytesConfig:
    """Return what a person writes for QLoRA on a BERT."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
        llm_int8_skip_modules=SKIPPED,
    )


def cases() -> dict[str, tuple[Any, Params, torch.dtype, BitsAndBytesConfig | None]]:
    """Return for each name our loader and its params, and the peer's dtype and config."""
    nf4, full, half = NF4Loader(), torch.float32, torch.bfloat16
    int8 = BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=SKIPPED)
    return {
        "fp32": (Float32Loader(), FullParams(), full, None),
        "bf16": (BFloat16Loader(), HalfParams(), half, None),
        "nf4, fp32 compute": (nf4, NF4Params(compute_dtype="float32"), full, nf4_by_hand(full)),
        "nf4, bf16 compute": (nf4, NF4Params(compute_dtype="bfloat16"), full, nf4_by_hand(half)),
        "int8": (Int8Loader(), Int8Params(), full, int8),
    }


def by_hand(base: ResolvedBase, dtype: torch.dtype, config: BitsAndBytesConfig | None) -> Any:
    """Load as the libraries' documentation shows."""
    with quiet_transformers():
        model = AutoModelForSequenceClassification.from_pretrained(
            base.path, dtype=dtype, num_labels=len(LABELS), quantization_config=config
        )
    if config is None:
        return model
    return prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)


def weight_bytes(model: torch.nn.Module) -> int:
    """Return the bytes of a model's state, scales of quantised weights included."""
    state = model.state_dict().values()
    return sum(value.nbytes for value in state if isinstance(value, torch.Tensor))


def stepper(model: Any, new: list[str]) -> Step:
    """Return a function that takes one step of a LoRA on random rows."""
    config = LoraConfig(r=8, target_modules=["query", "key", "value"], modules_to_save=new)
    model = get_peft_model(model, config).train()
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1000, 20000, (BATCH, LENGTH), generator=generator)
    labels = torch.randint(0, len(LABELS), (BATCH,), generator=generator)

    def step() -> None:
        loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


def seconds(step: Step, steps: int) -> float:
    """Return the mean CPU seconds of a step; this process has one thread."""
    start = time.process_time()
    for _ in range(steps):
        step()
    return (time.process_time() - start) / steps


def main() -> None:
    """Measure every loader and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", nargs="?", default="minilm")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as home:
        base = resolve_base(options.base, get_catalogue(), open_registry(home))
    head = Head(kind="sequence-classification", labels=LABELS, problem="single-label")
    print(f"bfloat16 instructions on this CPU: {'yes' if has_bf16('cpu') else 'no'}")
    print(f"{'loader':<20}{'MB':>8}{'s/step':>9}{'of fp32':>9}{'by hand':>9}{'ratio':>7}")
    reference = float("nan")
    for name, (loader, params, dtype, config) in cases().items():
        torch.manual_seed(0)
        loaded = loader.load(base, head, params, "cpu")
        size = weight_bytes(loaded.model) / 1e6
        ours = stepper(loaded.model, list(loaded.new))
        peer = stepper(by_hand(base, dtype, config), HEADS)
        ours(), peer()
        taken = [
            (seconds(ours, options.steps), seconds(peer, options.steps))
            for _ in range(options.rounds)
        ]
        mine, theirs = (median(column) for column in zip(*taken, strict=True))
        ratio = median(own / other for own, other in taken)
        reference = mine if name == "fp32" else reference
        row = f"{size:8.1f}{mine:9.3f}{mine / reference:9.2f}{theirs:9.3f}{ratio:7.2f}"
        print(f"{name:<20}{row}", flush=True)


if __name__ == "__main__":
    main()
