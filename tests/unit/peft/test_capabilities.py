"""The table's capabilities, measured: each method can do what it says, and no more."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from transformers import BitsAndBytesConfig

from adapterhub_lite.specs import Capability, HeadKind
from adapterhub_lite.transformer import load_transformer
from adapterhub_lite.tuners.wrapping import quiet_peft
from adapterhub_lite_peft.method import PeftMethod
from adapterhub_lite_peft.table import ENTRIES
from tests.unit.peft.conftest import (
    SPECS,
    Bench,
    batch_for,
    head_of,
    loss_of,
    outputs,
    params_of,
    train,
)

BASES: Mapping[str, tuple[str, HeadKind]] = {"beft": ("bert", "none")}
"""What is measured on another base than a Llama: BEFT is merged into biases, which that has not."""
TRAINED = sorted(entry.name for entry in ENTRIES.values() if not entry.refused)

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # PEFT's own, in calls that this project does not make
]


class Measured:
    """One method on one base, and what it turns out to be able to do."""

    def __init__(self, bench: Bench, name: str) -> None:
        self.bench = bench
        self.name = name
        self.model_type, self.kind = BASES.get(name, ("llama", "causal-lm"))
        self.batch = batch_for(self.kind)

    def attached(self) -> Any:
        return self.bench.attach(self.name, self.model_type, self.kind).model

    def trained(self) -> Any:
        model = self.attached()
        train(model, self.batch)
        return model

    def identity(self) -> bool:
        base = outputs(self.bench.base(self.model_type, self.kind).model, self.batch)
        adapted = outputs(self.attached(), self.batch)
        return base.shape == adapted.shape and bool((base - adapted).abs().max() < 1e-6)

    def disable(self) -> bool:
        """Try it under a classification head too: there PEFT fails for virtual tokens."""
        kinds: set[HeadKind] = {"sequence-classification", "causal-lm"}
        return all(self._disables(kind) for kind in kinds & SPECS[self.name].heads)

    def _disables(self, kind: HeadKind) -> bool:
        if kind == "causal-lm" and self.model_type != "llama":
            return True
        model = self.bench.attach(self.name, self.model_type, kind).model
        batch = batch_for(kind)
        train(model, batch)
        with model.disable_adapter():
            off = outputs(model, batch)
        return torch.equal(off, outputs(self.bench.base(self.model_type, kind).model, batch))

    def bake(self) -> bool:
        model = self.trained()
        before = outputs(model, self.batch)
        after = outputs(model.merge_and_unload(), self.batch)
        return bool((before - after).abs().max() < 1e-5)

    def checkpointing(self) -> bool:
        gradients = []
        for on in (False, True):
            model = self.attached()
            if on:
                options = {"use_reentrant": False}
                model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)
            torch.manual_seed(2)
            loss_of(model.train(), self.batch).backward()
            gradients.append([value.grad for value in model.parameters() if value.grad is not None])
        return all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*gradients, strict=True))

    def two(self) -> tuple[Any, torch.Tensor, torch.Tensor]:
        """Return a model with two differing adapters, and what it answers with each."""
        model = self.attached()
        model.add_adapter("other", deepcopy(model.peft_config["default"]))
        answers = []
        for adapter in ("default", "other"):
            model.set_adapter(adapter)
            torch.manual_seed(len(adapter))
            for value in model.parameters():
                if value.requires_grad:
                    value.data += 0.05 * torch.randn_like(value)
        for adapter in ("default", "other"):
            model.set_adapter(adapter)
            answers.append(outputs(model, self.batch))
        assert not torch.allclose(answers[0], answers[1], atol=1e-4)
        return model, answers[0], answers[1]

    def several(self) -> bool:
        model, first, second = self.two()
        model.base_model.set_adapter(["default", "other"])
        both = outputs(model, self.batch)
        return not any(torch.allclose(both, one, atol=1e-4) for one in (first, second))

    def mixed(self) -> bool:
        model, first, second = self.two()
        names = ["default", "other", "default", "other"]
        inputs = {key: self.batch[key] for key in ("input_ids", "attention_mask")}
        with torch.no_grad():
            mixed = model(**inputs, adapter_names=names)[0]
        right = torch.stack([(first, second)[name == "other"][n] for n, name in enumerate(names)])
        return bool((mixed - right).abs().max() < 1e-5)

    def shared(self) -> bool:
        """Try it untrained first: most are refused by their settings."""
        method = PeftMethod()
        attached = self.bench.attach(self.name, self.model_type, self.kind)
        host = method.host(self.bench.base(self.model_type, self.kind))
        with TemporaryDirectory() as folder:
            method.save(attached, Path(folder))
            plain = host.add(head_of(self.kind), Path(folder))
            train(attached.model, self.batch)
            method.save(attached, Path(folder))
            trained = host.add(head_of(self.kind), Path(folder))
        alone = outputs(attached.model, self.batch)
        mixed = outputs(host.rows([plain, trained, trained, plain]), self.batch)
        return bool((mixed - alone)[1:3].abs().max() < 1e-5 < (mixed - alone)[0].abs().max())

    def split(self) -> bool:
        """Let the untrained adapter own the first token, and the trained one the others."""
        method = PeftMethod()
        attached = self.bench.attach(self.name, self.model_type, self.kind)
        with TemporaryDirectory() as place:
            folders = {name: Path(place) / name for name in ("plain", "trained")}
            method.save(attached, folders["plain"])
            train(attached.model, self.batch)
            method.save(attached, folders["trained"])
            base = self.bench.base(self.model_type, self.kind)
            model = method.load_split(base, folders, "plain", _all_but_the_first).model
        found, alone = outputs(model, self.batch), outputs(attached.model, self.batch)
        plain = outputs(self.bench.base(self.model_type, self.kind).model, self.batch)
        first, rest = found[:, :1], found[:, 1:]
        return torch.allclose(first, plain[:, :1], atol=1e-5) and not any(
            torch.allclose(rest, other[:, 1:], atol=1e-5) for other in (alone, plain)
        )

    def fused(self) -> bool:
        """Give all weight to the trained adapter, beside the untrained one."""
        method = PeftMethod()
        attached = self.bench.attach(self.name, self.model_type, self.kind)
        base = self.bench.base(self.model_type, self.kind)
        with TemporaryDirectory() as place:
            folders = {name: Path(place) / name for name in ("plain", "trained")}
            method.save(attached, folders["plain"])
            train(attached.model, self.batch)
            method.save(attached, folders["trained"])
            method.load_fusible(base, folders, lambda width: _TheLast())
        alone = outputs(attached.model, self.batch)
        return torch.allclose(outputs(base.model, self.batch), alone, atol=1e-5)

    def quantised(self) -> bool:
        config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
        path, head = self.bench.path(self.model_type), head_of(self.kind)
        base = load_transformer(path, head, torch.float32, "cpu", quantisation=config)
        torch.manual_seed(1)
        model = PeftMethod().attach(base, params_of(self.name)).model
        first, last = train(model, self.batch)
        return last < first

    def all(self) -> set[Capability]:
        tries: dict[Capability, Callable[[], bool]] = {
            "identity-at-init": self.identity,
            "disable": self.disable,
            "bake": self.bake,
            "gradient-checkpointing": self.checkpointing,
            "several-active": self.several,
            "mixed-batch": self.mixed,
            "shared-pass": self.shared,
            "per-token": self.split,
            "fusible": self.fused,
            "quantised-base": self.quantised,
        }
        return {name for name, attempt in tries.items() if _succeeds(attempt)}


class _TheLast(torch.nn.Module):
    def forward(self, hidden: torch.Tensor, changes: torch.Tensor) -> torch.Tensor:
        return changes[..., -1, :]


def _all_but_the_first(layer: str, given: torch.Tensor) -> torch.Tensor:
    return torch.arange(given.shape[1]).clamp(max=1).expand(given.shape[:-1])


def _succeeds(attempt: Callable[[], bool]) -> bool:
    try:
        with quiet_peft():
            return attempt()
    except Exception:  # whatever it raises, it cannot
        return False


@pytest.mark.parametrize("name", TRAINED)
def test_a_method_can_do_what_its_spec_says_and_no_more(bench: Bench, name: str) -> None:
    assert Measured(bench, name).all() == SPECS[name].capabilities
