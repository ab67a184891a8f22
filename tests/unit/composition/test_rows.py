"""Each row of a batch is answered by the member that is named for it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterhub_lite import api
from adapterhub_lite.errors import CapabilityError, DataError, UnknownNameError
from tests.unit.composition.conftest import TEXTS, Adapter
from tests.unit.inference.conftest import close

Compose = Callable[..., Any]
Ahl = Callable[..., Any]


def members_of(adapter: Adapter) -> list[str]:
    return [
        adapter("a", {"name": "lora", "r": 2}),
        adapter("b", {"name": "lora", "r": 5}, labels=("yes", "no")),
        adapter("c", "bottleneck", labels=("x", "y", "z", "w")),
    ]


def test_rows_are_answered_as_one_by_one(adapter: Adapter, compose: Compose) -> None:
    compose("switch", *members_of(adapter))
    made, expected = api.load("made"), {}
    for name in made.members:
        alone = api.load(name)
        expected |= {(text, name): alone.predict([text])[0].record() for text in TEXTS}
    expected |= {(text, None): expected[text, "a"] for text in TEXTS}

    @settings(max_examples=12, deadline=None)
    @given(st.lists(st.sampled_from(sorted(expected, key=str)), max_size=7))
    def check(rows: list[tuple[str, str | None]]) -> None:
        found = made.predict([text for text, _ in rows], members=[name for _, name in rows])
        for row, answer in zip(rows, found, strict=True):
            assert close(answer.record(), expected[row])

    check()


def test_rows_that_name_nobody(adapter: Adapter, compose: Compose) -> None:
    compose("switch", *members_of(adapter))
    made, texts = api.load("made"), list(TEXTS[:2])
    with pytest.raises(UnknownNameError, match="'bb'") as misspelt:
        made.predict(texts, members=["a", "bb"])
    assert misspelt.value.nearest == "b"
    with pytest.raises(DataError, match="3 members are named for 2 inputs"):
        made.predict(texts, members=["a", "b", "a"])
    with pytest.raises(TypeError, match="input 1 is int"):
        made.predict([texts[0], 7], members=["a", "b"])
    with pytest.raises(CapabilityError, match="one model"):
        api.load("a").predict(texts, members=["a", "a"])
    with pytest.raises(CapabilityError, match="made@1/a is one adapter"):
        made.predict(texts, members=["a/b", "a"])
    counts: list[int] = []
    made.predict(list(TEXTS), counts.append, members=["a", "b", None, "c"])
    assert counts[-1] == 4
    assert counts == sorted(counts)


def test_a_column_names_the_member(
    ahl: Ahl, adapter: Adapter, compose: Compose, tmp_path: Path
) -> None:
    compose("switch", *members_of(adapter))
    rows = [
        {"text": TEXTS[0], "adapter": "b"},
        {"text": TEXTS[1], "adapter": None},
        {"text": TEXTS[2], "adapter": "c"},
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    line = ("predict", "made", "--file", str(file))
    done = ahl(*line, "--member-column", "adapter", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert [set(one["probabilities"]) for one in found] == [
        {"yes", "no"},
        {"fruit", "tool", "music"},
        {"x", "y", "z", "w"},
    ]
    assert [one["adapter"] for one in found] == ["b", None, "c"]
    table = ahl(*line, "--member-column", "adapter", "--format", "csv").out.splitlines()
    assert table[0].startswith("adapter,text,label,score,p_yes,p_no,p_fruit")
    cells = dict(zip(table[0].split(","), table[1].split(","), strict=True))
    assert cells["p_fruit"] == ""
    assert float(cells["p_yes"]) + float(cells["p_no"]) == pytest.approx(1)
    wrong = ahl(*line, "--member-column", "adaptor")
    assert (wrong.code, "did you mean 'adapter'?" in wrong.err) == (2, True)
    read = ahl(*line, "--member-column", "text")
    assert (read.code, "is read as what is asked" in read.err) == (2, True)
    both = ahl(*line, "--member-column", "adapter", "--member", "a")
    assert (both.code, "instead of --member" in both.err) == (2, True)
    texts = ahl("predict", "made", TEXTS[0], "--member-column", "adapter")
    assert (texts.code, "about a --file" in texts.err) == (2, True)
