"""A fleet answers each row by its own adapter, as that adapter does alone."""

from collections.abc import Sequence
from typing import Any

import pytest

from adapterhub_lite import api
from adapterhub_lite.errors import (
    CapabilityError,
    DataError,
    IntegrityError,
    NotFoundError,
    UnknownNameError,
)
from adapterhub_lite.inference.fleet import Asked, Fleet
from adapterhub_lite.inference.generation import GenerationOptions
from adapterhub_lite.plugins import get_catalogue
from tests.unit.inference.conftest import Bases, Publish, close

TEXTS = (
    "the apple is sweet",
    "a heavy drill",
    "that quiet flute and the violin of my choir",
    "my rusty saw is loud",
    "plum",
)
SHAPES: tuple[dict[str, Any], ...] = (
    {"name": "lora", "r": 2, "lora_alpha": 3.0, "lora_dropout": 0.5},
    {"name": "lora", "r": 5, "use_rslora": True, "target_modules": ["query"]},
    {"name": "lora", "r": 3, "target_modules": ["query", "dense"], "layers_to_transform": [1]},
    {"name": "lora", "r": 4, "rank_pattern": {"key": 2}, "target_modules": ["key", "dense"]},
)


def fleet(**options: Any) -> Fleet:
    return Fleet(api.open_registry(), get_catalogue(), **options)


def asked(refs: Sequence[str], texts: Sequence[Any] = TEXTS) -> list[Asked]:
    return [
        Asked(ref=ref, input=texts[number % len(texts)])
        for number, ref in enumerate([*refs, *refs[::-1], refs[0]])
    ]


def require_same(found: Fleet, rows: Sequence[Asked]) -> None:
    """Fail unless each row is answered as by a predictor that was loaded for it alone."""
    alone = {row.ref: api.load(row.ref) for row in rows}
    for row, answer in zip(rows, found.predict(rows), strict=True):
        (expected,) = alone[row.ref].predict([row.input], options=[row.options])
        assert not isinstance(answer, Exception), answer
        assert close(answer.record(), expected.record()), row


def test_lora_rows_share_a_pass_whatever_the_adapters(publish: Publish, passes: list[int]) -> None:
    labels = [("a", "b"), ("c", "d", "e"), ("f", "g", "h", "i"), ("j", "k")]
    refs = [publish(f"v{n}", SHAPES[n], labels=labels[n]) for n in range(4)]
    found = fleet()
    require_same(found, asked(refs))
    assert passes == [2, 4]  # tried with two, then all four in one
    require_same(found, [Asked(ref=refs[2], input=TEXTS[0])])
    require_same(found, [Asked(ref=refs[0], input=text) for text in TEXTS])
    assert passes == [2, 4]


def test_every_kind_of_method_answers_beside_the_others(publish: Publish, bases: Bases) -> None:
    methods: list[Any] = ["lora", {"name": "lora", "r": 3}, "bottleneck", "full", "ia3", "vera"]
    methods += [{"name": "lora", "use_dora": True}, {"name": "prefix", "num_virtual_tokens": 3}]
    methods += ["oft", {"name": "lora", "lora_bias": True}]
    refs = [publish(f"m{number}", method) for number, method in enumerate(methods)]
    refs.append(publish("elsewhere", base=bases("bert", 1)))
    require_same(fleet(), asked(refs))


@pytest.mark.parametrize(
    ("objective", "base", "inputs"),
    [
        ("tagging", "bert", (["my", "violin"], ["the", "plum", "is", "ripe", "and", "sweet"])),
        ("regression", "bert", TEXTS),
        ("question-answering", "bert", (("fruit", "a ripe plum is sweet"), ("tool", "my saw"))),
        ("embedding", "bert", (TEXTS[0], ("a plum", "the ripe pear"), TEXTS[2])),
        ("classification", "gpt2", TEXTS),
        ({"name": "causal-lm", "max_new_tokens": 6}, "llama", TEXTS),
        ({"name": "sft", "max_new_tokens": 6, "template": "plain"}, "llama", TEXTS),
        ({"name": "seq2seq", "max_new_tokens": 6}, "t5", TEXTS),
    ],
)
def test_every_task_shares_passes(
    objective: Any, base: str, inputs: Any, publish: Publish, bases: Bases, passes: list[int]
) -> None:
    methods = ({"name": "lora", "r": 2}, {"name": "lora", "r": 3, "target_modules": "all-linear"})
    refs = [publish(f"v{n}", m, objective, base=bases(base)) for n, m in enumerate(methods)]
    require_same(fleet(), asked(refs, inputs))
    assert passes[0] == 2
    assert 2 in passes[1:]


def test_a_composition_is_asked_as_a_whole_or_by_member(publish: Publish) -> None:
    refs = [publish("a"), publish("b", "bottleneck", labels=("yes", "no"))]
    api.compose({"composition": "switch", "members": refs, "publish": "both"})
    members = [None, "b", "a", "b"]
    rows = [
        Asked(ref="both", input=text, member=m) for text, m in zip(TEXTS, members, strict=False)
    ]
    answers = fleet().predict([*rows, Asked(ref=refs[0], input=TEXTS[0])])
    whole = api.load("both")
    for row, answer in zip(rows, answers[:4], strict=True):
        one = whole if row.member is None else whole.member(row.member)
        (expected,) = one.predict([row.input])
        assert not isinstance(answer, Exception)
        assert close(answer.record(), expected.record())
    (wrong,) = fleet().predict([Asked(ref="both", input="a", member="c")])
    assert isinstance(wrong, UnknownNameError)


def test_a_row_that_fails_has_its_own_error(publish: Publish) -> None:
    good, other = publish("good"), publish("other", {"name": "lora", "r": 3})
    broken = publish("broken")
    registry = api.open_registry()
    file = registry.path(registry.resolve(broken)) / "adapter_model.safetensors"
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\0")
    text = "the apple is sweet"
    rows = [
        Asked(ref=good, input=text),
        Asked(ref="goood@1", input=text),
        Asked(ref=other, input=7),
        Asked(ref=good, input=text, options=GenerationOptions(seed=1)),
        Asked(ref=broken, input=text),
        Asked(ref=good, input=text, member="x"),
        Asked(ref=other, input=text),
    ]
    answers = fleet().predict(rows)
    kinds = [type(answer) for answer in answers if isinstance(answer, Exception)]
    assert kinds == [
        NotFoundError,
        DataError,
        CapabilityError,
        IntegrityError,
        CapabilityError,
    ]
    require_same(fleet(), [rows[0], rows[6]])
    assert not isinstance(answers[0], Exception)
    assert not isinstance(answers[6], Exception)


def test_a_moved_alias_is_picked_up(publish: Publish) -> None:
    registry = api.open_registry()
    publish("a")
    found = fleet()
    registry.set_alias("a", "prod", 1)
    assert found.resolve("a@prod") == "a@1"
    (first,) = found.predict([Asked(ref="a@prod", input=TEXTS[0])])
    assert set(found.loaded()) == {"a@1"}
    assert not isinstance(first, Exception)
