"""In a split each token goes through its own member, and all of them attend to each other."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForCausalLM

from adapterhub_lite import api
from adapterhub_lite.errors import CapabilityError
from adapterhub_lite.inference.fleet import Fleet
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.protocols import GenerationOptions
from adapterhub_lite.testing import write_tiny_model
from adapterhub_lite.transformer import load_tokenizer, quiet_transformers
from tests.unit.composition.conftest import LABELS, TEXTS, Adapter
from tests.unit.composition.models import bare, bottleneck, files_of, put_head

Compose = Callable[..., Any]
Bases = Callable[..., Path]
Owners = Callable[[int], int]
METHODS: tuple[Mapping[str, Any], ...] = (
    {"name": "lora", "r": 4},
    {"name": "bottleneck", "style": "houlsby", "non_linearity": "relu"},
)
PAIRS = [("the apple is sweet", "a heavy drill"), ("that quiet flute", "my rusty saw is loud")]
TOKENS = 6
WRITES = GenerationOptions(max_new_tokens=TOKENS)


@pytest.fixture(params=METHODS, ids=lambda given: given["name"])
def method(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(params=["[SEP]", "[SEP] [SEP]"], ids=["one", "two"])
def pairs_base(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a base that reads pairs, with one separator between them as BERT, or two."""
    folder = write_tiny_model(tmp_path / "pairs", num_hidden_layers=2)
    file = str(folder / "tokenizer.json")
    tokenizer = Tokenizer.from_file(file)
    names = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair=f"[CLS] $A {request.param} $B:1 [SEP]:1",
        special_tokens=names,
    )
    tokenizer.save(file)
    return folder


def spans(refs: Sequence[str], *tokens: int) -> list[dict[str, Any]]:
    return [
        *({"ref": ref, "tokens": count} for ref, count in zip(refs, tokens, strict=False)),
        {"ref": refs[-1]},
    ]


def change_tokens(model: Any, refs: Sequence[str], owners: Owners) -> None:
    """Let every member change its own tokens, of one text that is asked alone and whole."""
    modules = dict(model.named_modules())
    for number, ref in enumerate(refs):
        config, state = files_of(ref)
        own = torch.tensor([[[owners(n) == number] for n in range(99)]])
        for name in state:
            if name.endswith(("lora_A.weight", "bottleneck_down.weight")):
                module = name.rpartition(".")[0].rpartition(".")[0]
                add = partial(_add, module, config, state, own)
                modules[module].register_forward_hook(add)


def _add(module: str, config: Any, state: Any, own: Any, _: Any, given: Any, y: Any) -> Any:
    if config["peft_type"] == "LORA":
        down, up = (state[f"{module}.lora_{n}.weight"].double() for n in "AB")
        added = given[0] @ down.T @ up.T * (config["lora_alpha"] / config["r"])
    else:
        added = bottleneck(y, module, config, state)
    return y + added * own[:, : y.shape[1]]


@torch.no_grad()
def by_hand(base: Path, refs: Sequence[str], texts: Sequence[Any], owners: Owners) -> list[Any]:
    """Return texts' probabilities in 64 bits, each asked alone; ``owners`` has the nth token's."""
    tokenizer = load_tokenizer(base)
    model = bare(base, len(LABELS))
    put_head(model, [(1.0, files_of(refs[-1])[1])])
    change_tokens(model, refs, owners)
    found = []
    for text in texts:
        one = [text] if isinstance(text, str) else list(text)
        asked = tokenizer(*one, return_token_type_ids=True, return_tensors="pt")
        found.append(model(**asked).logits.softmax(-1)[0].numpy())
    return found


def before(*ends: int) -> Owners:
    """Return whose the nth token is, where member i has those before ``ends[i]``."""
    return lambda n: next((i for i, end in enumerate(ends) if n < end), len(ends))


def by_us(ref: str, texts: Sequence[Any] = TEXTS) -> Any:
    return api.load(ref).predict_proba(list(texts))


def test_each_token_goes_through_its_own_member(
    adapter: Adapter, bases: Bases, compose: Compose, method: Mapping[str, Any]
) -> None:
    refs = [adapter("a", method), adapter("b", method), adapter("c", method)]
    made = compose("split", *spans(refs, 2, 1))
    expected = by_hand(bases(), refs, TEXTS, before(2, 3))
    np.testing.assert_allclose(by_us("made"), expected, atol=1e-6)
    assert all(np.abs(by_us(ref) - expected).max() > 1e-3 for ref in refs)
    assert made.compared.difference < 1e-5
    assert made.compared.reference.startswith(
        "the members merged" if method["name"] == "lora" else "nothing"
    )


def test_ranks_and_layers_may_differ(adapter: Adapter, bases: Bases, compose: Compose) -> None:
    refs = [
        adapter("a", {"name": "lora", "r": 2, "lora_alpha": 3, "target_modules": ["value"]}),
        adapter("b", {"name": "lora", "r": 4, "target_modules": ["query", "output.dense"]}),
    ]
    assert compose("split", *spans(refs, 3)).compared.difference < 1e-5
    expected = by_hand(bases(), refs, TEXTS, before(3))
    np.testing.assert_allclose(by_us("made"), expected, atol=1e-6)


def test_a_bottleneck_reads_each_token_as_it_does_alone(adapter: Adapter, compose: Compose) -> None:
    given = {"name": "bottleneck", "reads": "sublayer"}
    a, b = adapter("a", given), adapter("b", given)
    compose("split", *spans([a, b], 70), head="a")
    np.testing.assert_allclose(by_us("made"), by_us(a), atol=1e-5)
    compose("split", *spans([a, b], 1), head="a")
    assert np.abs(by_us("made") - by_us(a)).max() > 1e-4


def test_equal_members_and_a_span_of_everything_are_one_member(
    adapter: Adapter, compose: Compose, method: Mapping[str, Any]
) -> None:
    a, b = adapter("a", method), adapter("b", method)
    same = [{"ref": a, "name": "one", "tokens": 3}, {"ref": a, "name": "two"}]
    compose("split", *same)
    np.testing.assert_allclose(by_us("made"), by_us(a), atol=1e-5)
    compose("split", *spans([a, b], 70), head="a")
    np.testing.assert_allclose(by_us("made"), by_us(a), atol=1e-5)


def test_a_fleet_counts_what_a_split_holds(adapter: Adapter, compose: Compose) -> None:
    refs = [adapter(name, {"name": "lora", "r": 8}) for name in "ab"]
    compose("split", *spans(refs, 3))
    fleet = Fleet(api.open_registry(), get_catalogue())
    fleet.predictor("made")
    factors = [value for ref in refs for name, value in files_of(ref)[1].items() if "lora" in name]
    held = fleet.loaded()["made@1"]
    wanted = sum(value.nbytes for value in factors)
    assert wanted <= held < wanted + 8192


def test_by_segment_each_text_of_a_pair_has_its_member(
    adapter: Adapter, pairs_base: Path, compose: Compose
) -> None:
    refs = [adapter(name, base=pairs_base) for name in "ab"]
    compose({"name": "split", "by": "segment"}, *refs)
    expected = [
        # [CLS], the words of the first text, and what ends it
        *by_hand(pairs_base, refs, [PAIRS[0]], before(6)),
        *by_hand(pairs_base, refs, [PAIRS[1]], before(5)),
    ]
    np.testing.assert_allclose(by_us("made", PAIRS), expected, atol=1e-6)
    assert all(np.abs(by_us(ref, PAIRS) - expected).max() > 1e-3 for ref in refs)
    single = by_hand(pairs_base, refs, TEXTS, before(99))
    np.testing.assert_allclose(by_us("made", TEXTS), single, atol=1e-6)


def test_a_text_with_the_separator_in_it_is_refused(
    adapter: Adapter, pairs_base: Path, compose: Compose
) -> None:
    compose({"name": "split", "by": "segment"}, *(adapter(n, base=pairs_base) for n in "ab"))
    with pytest.raises(CapabilityError, match="which separates two texts, also stands in"):
        by_us("made", [("the apple [SEP] is sweet", "a heavy drill"), PAIRS[0]])


def test_a_text_is_written_alike_with_a_cache_and_beside_longer_ones(
    adapter: Adapter, bases: Bases, compose: Compose, method: Mapping[str, Any]
) -> None:
    base = bases("llama")
    refs = [adapter(name, method, base=base, objective="causal-lm") for name in "ab"]
    compose("split", *spans(refs, 5))
    found = api.load("made").predict(TEXTS, options=[WRITES] * len(TEXTS))
    written = [one.text for one in found]
    assert written == write_by_hand(base, refs, TEXTS, before(5))
    alone = [[one.text for one in api.load(r).predict(TEXTS, options=[WRITES] * 4)] for r in refs]
    assert written not in alone


@torch.no_grad()
def write_by_hand(
    base: Path, refs: Sequence[str], texts: Sequence[str], owners: Owners
) -> list[str]:
    """Write greedily after each text, computing all of it for every token, in 64 bits."""
    tokenizer = load_tokenizer(base)
    with quiet_transformers():
        model: Any = AutoModelForCausalLM.from_pretrained(base).double().eval()
    change_tokens(model, refs, owners)
    written = []
    for text in texts:
        ids = tokenizer(text)["input_ids"][:-1]
        start = len(ids)
        while len(ids) < start + TOKENS and ids[-1] != tokenizer.eos_token_id:
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        written.append(tokenizer.decode(ids[start:], skip_special_tokens=True))
    return written
