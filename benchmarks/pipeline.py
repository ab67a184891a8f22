"""What the pipeline costs: its training loop against a hand-written PEFT + Trainer loop.

    python benchmarks/pipeline.py --rounds 3

Both train the same LoRA classifier on the same batches with the same optimiser and schedule, on
one thread, each round in fresh processes in turn. Printed are the ratios ours / peer of the CPU
seconds a step and of the peak memory, by the median over rounds; the peer is peft with
transformers' Trainer.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

WORDS = ("the", "card", "transfer", "account", "money", "cash", "top", "limit", "refund", "pin")
ROWS, LENGTH, BATCH, LABELS = 512, 32, 16, 8


def rows() -> tuple[list[str], list[str]]:
    """Return texts of about LENGTH tokens, and labels."""
    texts = [
        " ".join(WORDS[(i * 7 + j * j) % len(WORDS)] for j in range(LENGTH - 2))
        for i in range(ROWS)
    ]
    return texts, [f"label{i % LABELS}" for i in range(ROWS)]


def ours(steps: int, base: str) -> float:
    """Train through the shared loop; return CPU seconds a step."""
    import torch

    from adapterhub_lite.catalogue import Catalogue
    from adapterhub_lite.data.table import TextSet
    from adapterhub_lite.plugins import get_catalogue
    from adapterhub_lite.protocols import TrainingData
    from adapterhub_lite.specs import ResolvedBase

    class SilentRun:
        seed, folder, resume = 0, Path(tempfile.mkdtemp()), False

        def emit(self, event: str, **fields: Any) -> None:
            """Drop the event."""

        def step(self, stage: str, done: int, total: int, **figures: float) -> None:
            """Drop the progress."""

    catalogue: Catalogue = get_catalogue()
    texts, labels = rows()
    data = TextSet(tuple(texts), tuple((label,) for label in labels))
    spec = catalogue.objective("classification")
    objective = catalogue.implementation(spec)
    params = spec.params(batch_size=BATCH, max_steps=steps, learning_rate=1e-3, max_length=LENGTH)
    torch.manual_seed(0)
    loader, method = catalogue.loader("fp32"), catalogue.method("lora")
    loaded = catalogue.implementation(loader).load(
        ResolvedBase(ref=base, path=base, source="path"), objective.head(data, params),
        loader.params(), "cpu",
    )  # fmt: skip
    attached = catalogue.implementation(method).attach(
        loaded, method.params(r=8, target_modules=["query", "value"])
    )
    start = time.process_time()
    objective.fit(attached, TrainingData(data), params, SilentRun())
    return (time.process_time() - start) / steps


def peer(steps: int, base: str) -> float:
    """Train by hand: peft and transformers' Trainer; return CPU seconds a step."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    texts, labels = rows()
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=LABELS)
    config = LoraConfig(
        task_type="SEQ_CLS", r=8, target_modules=["query", "value"],
        modules_to_save=["classifier", "bert.pooler"],
    )  # fmt: skip
    model = get_peft_model(model, config)
    start = time.process_time()
    encoded = tokenizer(texts, truncation=True, max_length=LENGTH)
    columns = (encoded["input_ids"], encoded["attention_mask"], labels)
    items = [
        {"input_ids": ids, "attention_mask": mask, "labels": int(label.removeprefix("label"))}
        for ids, mask, label in zip(*columns, strict=True)
    ]
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=BATCH, max_steps=steps,
        learning_rate=1e-3, report_to="none", save_strategy="no", disable_tqdm=True,
        logging_strategy="no", use_cpu=True, dataloader_pin_memory=False,
    )  # fmt: skip
    Trainer(model, arguments, DataCollatorWithPadding(tokenizer), items).train()
    return (time.process_time() - start) / steps


def in_own_process(side: str, steps: int, base: str) -> dict[str, float]:
    """Measure one side in a fresh process."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, __file__, "--side", side, "--steps", str(steps), "--base", base]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def packaged_minilm() -> str:
    """Return where the packaged MiniLM lies."""
    from adapterhub_lite.plugins import get_catalogue

    found = get_catalogue().resolve_base("minilm")
    assert found is not None
    return found.path


def main() -> None:
    """Run rounds of both sides and print the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--base", help="a BERT-like folder (default: the packaged MiniLM)")
    parser.add_argument("--side", choices=["ours", "peer"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    base = options.base or packaged_minilm()
    if options.side:
        seconds = {"ours": ours, "peer": peer}[options.side](options.steps, base)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "peak_mib": peak}))
        return
    found: dict[str, list[dict[str, float]]] = {"ours": [], "peer": []}
    for _ in range(options.rounds):
        for side, results in found.items():
            results.append(in_own_process(side, options.steps, base))
    for figure, unit in (("seconds", "CPU s a step"), ("peak_mib", "MiB at the peak")):
        mine, theirs = (median(r[figure] for r in found[side]) for side in ("ours", "peer"))
        print(f"{unit}: ours {mine:.4g}, peft + Trainer {theirs:.4g}, ratio {mine / theirs:.3f}")


if __name__ == "__main__":
    main()
