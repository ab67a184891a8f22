"""Rows of many LoRA adapters in one batch: the fleet against PEFT's mixed batch, CPU seconds.

    python benchmarks/serving.py --repeats 3

32 requests over 8 and over 32 adapters of rank 8 on all linear layers: texts written by a random
Llama that the script makes (29 million parameters, 24 tokens a row, greedy), and texts classified
on the packaged MiniLM. Beside the fleet: PEFT's ``adapter_names``, the fleet asked adapter by
adapter, and the base alone. Each is measured from text to answer; all take turns, and of their CPU
times the least counts. The answers of fleet and PEFT are compared.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from peft import PeftModel
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from adapterhub_lite.bases import fingerprint, resolve_base
from adapterhub_lite.inference.artifact import ArtifactInfo, NeededBase, write_artifact_info
from adapterhub_lite.inference.fleet import Asked, Fleet
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.protocols import Attached, Outcome
from adapterhub_lite.specs import Head, ResolvedBase
from adapterhub_lite.training.publish import publish_folder
from adapterhub_lite_registry import ManifestDraft, Registry

REQUESTS, TOKENS, WORDS = 32, 24, 8000
METHOD = {"r": 8, "target_modules": "all-linear"}
Answer = Callable[[], list[Any]]


def write_llama(folder: Path) -> str:
    """Write a random Llama whose tokenizer knows a word for each token."""
    vocabulary = {"<pad>": 0, "<s>": 1, "</s>": 2} | {f"w{n}": n for n in range(3, WORDS)}
    words = Tokenizer(WordLevel(vocabulary, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=WORDS, hidden_size=512, intermediate_size=1376, num_hidden_layers=8,
        num_attention_heads=8, num_key_value_heads=8, max_position_embeddings=256,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


class Bench:
    """Adapters of random numbers on one base, for the fleet and for PEFT."""

    def __init__(self, base: str, objective: str, head: Head, params: Any, count: int) -> None:
        self.place = Path(tempfile.mkdtemp())
        self.catalogue = get_catalogue()
        self.registry = Registry.open(self.place / "home")
        self.found: ResolvedBase = resolve_base(base, self.catalogue, self.registry)
        self.head = head
        self.refs = self._publish(objective, params, count)
        self.fleet = Fleet(self.registry, self.catalogue)
        self.fleet.predict([Asked(ref=ref, input="w5") for ref in self.refs])

    def base(self) -> Any:
        """Load the base; a new head is the same each time."""
        torch.manual_seed(0)
        spec = self.catalogue.loader("fp32")
        return self.catalogue.implementation(spec).load(self.found, self.head, spec.params(), "cpu")

    def _publish(self, objective: str, params: Any, count: int) -> list[str]:
        spec, task = self.catalogue.method("lora"), self.catalogue.objective(objective)
        method, trained = self.catalogue.implementation(spec), self.catalogue.implementation(task)
        base = self.base()
        scorer = trained.adopt(base, task.params(**params))
        base.new = tuple(name for name in base.new if "." not in name)  # PEFT mixes no pooler
        attached: Attached = method.attach(base, spec.params(**METHOD))
        needed = NeededBase(ref=self.found.ref, fingerprint=fingerprint(self.found))
        info = ArtifactInfo(
            task=task.task, method="lora", objective=objective, head=self.head, base=needed
        )
        refs = []
        for number in range(count):
            torch.manual_seed(number)
            for name, value in attached.model.named_parameters():
                if name in attached.trainable:
                    value.data = torch.randn_like(value) * 0.05
            folder = self.place / f"a{number}"
            method.save(attached, folder)
            outcome = Outcome(scorer, None, kept="drawn", reason="drawn", selection=None)
            trained.save(outcome, folder)
            write_artifact_info(folder, info)
            draft = ManifestDraft(kind="adapter", task=task.task)
            refs.append(str(publish_folder(folder, f"a{number}", draft, self.registry)))
        return refs

    def peft(self) -> tuple[Any, Any]:
        """Return PEFT's model with all adapters, and the tokenizer."""
        base = self.base()
        model = PeftModel.from_pretrained(base.model, self.place / "a0", adapter_name="a0")
        for number in range(1, len(self.refs)):
            model.load_adapter(self.place / f"a{number}", adapter_name=f"a{number}")
        return model.eval(), base.tokenizer

    def asked(self, texts: Sequence[str], owners: Sequence[int]) -> list[Asked]:
        """Return the rows as the fleet is asked."""
        rows = zip(texts, owners, strict=True)
        return [Asked(ref=self.refs[owner], input=text) for text, owner in rows]


def measure(ways: dict[str, Answer], repeats: int) -> dict[str, float]:
    """Return the least CPU seconds of each way; they take turns."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            begun = time.process_time()
            way()
            times[name].append(time.process_time() - begun)
    return {name: min(taken) for name, taken in times.items()}


def report(title: str, ways: dict[str, Answer], repeats: int, agree: Callable[..., bool]) -> None:
    """Compare the answers, measure, and print seconds and ratios."""
    if not agree(ways["fleet"](), ways["peft"]()):
        raise SystemExit(f"{title}: fleet and PEFT answer differently")
    taken = measure(ways, repeats)
    fleet = taken["fleet"]
    seconds = ", ".join(f"{name} {value:.3f} s" for name, value in taken.items())
    print(f"{title}: {seconds}")
    print(
        f"  {taken['peft'] / fleet:.2f} times PEFT's mixed batch, {taken['grouped'] / fleet:.2f} "
        f"times adapter by adapter, {taken['base'] / fleet:.2f} times the base alone",
        flush=True,
    )


def grouped(bench: Bench, rows: Sequence[Asked]) -> list[Any]:
    """Ask the fleet one adapter after the other."""
    refs = dict.fromkeys(row.ref for row in rows)
    return [bench.fleet.predict([row for row in rows if row.ref == ref]) for ref in refs]


def owners_of(adapters: int) -> list[int]:
    """Return whose each request is, evenly and mixed up."""
    return [number * 5 % adapters for number in range(REQUESTS)]


@torch.inference_mode()
def decoding(repeats: int) -> None:
    """Measure texts written by a decoder."""
    place = Path(tempfile.mkdtemp())
    head = Head(kind="causal-lm")
    bench = Bench(write_llama(place), "causal-lm", head, {"max_new_tokens": TOKENS}, REQUESTS)
    peer, tokenizer = bench.peft()
    base = bench.base().model
    config = GenerationConfig(
        max_new_tokens=TOKENS, do_sample=False, pad_token_id=0, eos_token_id=2
    )
    texts = [" ".join(f"w{7 * n + 31 * k + 3}" for k in range(16)) for n in range(REQUESTS)]

    def write(model: Any, **more: Any) -> list[str]:
        given = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left")
        given.pop("token_type_ids", None)
        out = model.generate(**given, generation_config=config, **more)
        decoded: list[str] = tokenizer.batch_decode(out[:, 16:], skip_special_tokens=True)
        return decoded

    for adapters in (8, 32):
        owners = owners_of(adapters)
        rows = bench.asked(texts, owners)
        names = [f"a{owner}" for owner in owners]
        ways: dict[str, Answer] = {
            "base": lambda: write(base),
            "fleet": lambda rows=rows: bench.fleet.predict(rows),
            "peft": lambda names=names: write(peer, adapter_names=names),
            "grouped": lambda rows=rows: grouped(bench, rows),
        }
        report(
            f"Llama, {TOKENS} tokens, {adapters} adapters",
            ways,
            repeats,
            lambda ours, theirs: [one.text for one in ours] == theirs,
        )


@torch.inference_mode()
def classifying(repeats: int) -> None:
    """Measure texts classified by an encoder."""
    head = Head(kind="sequence-classification", labels=("a", "b", "c"), problem="single-label")
    bench = Bench("minilm", "classification", head, {}, REQUESTS)
    peer, tokenizer = bench.peft()
    base = bench.base().model
    short = [f"request {n} about an order that has not arrived by now" for n in range(REQUESTS)]

    def classify(model: Any, texts: list[str], **more: Any) -> list[list[float]]:
        given = tokenizer(texts, return_tensors="pt", padding=True)
        rows: list[list[float]] = model(**given, **more).logits.softmax(-1).tolist()
        return rows

    def agree(ours: Sequence[Any], theirs: Sequence[Sequence[float]]) -> bool:
        found = [[one.probabilities[label] for label in head.labels] for one in ours]
        return bool((torch.tensor(found) - torch.tensor(theirs)).abs().max() < 1e-5)

    for texts in (short, [" ".join([text] * 4) for text in short]):
        tokens = max(map(len, tokenizer(texts)["input_ids"]))
        for adapters in (8, 32):
            owners = owners_of(adapters)
            rows = bench.asked(texts, owners)
            names = [f"a{owner}" for owner in owners]
            ways: dict[str, Answer] = {
                "base": lambda texts=texts: classify(base, texts),
                "fleet": lambda rows=rows: bench.fleet.predict(rows),
                "peft": lambda t=texts, n=names: classify(peer, t, adapter_names=n),
                "grouped": lambda rows=rows: grouped(bench, rows),
            }
            report(f"MiniLM, {tokens} tokens, {adapters} adapters", ways, 2 * repeats, agree)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=("decoding", "classifying"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    for part in (classifying, decoding):
        if options.only in (None, part.__name__):
            part(options.repeats)


if __name__ == "__main__":
    main()
