"""Members that answer for themselves may be compositions: they answer as their versions do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapterhub_lite import api
from adapterhub_lite.errors import CapabilityError, InUseError, SelfTestError, UnknownNameError
from adapterhub_lite.inference.fleet import Asked, Fleet
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.predictions import Several
from tests.unit.composition.conftest import TEXTS, Adapter
from tests.unit.composition.models import folder_of
from tests.unit.inference.conftest import close

Compose = Callable[..., Any]
Ahl = Callable[..., Any]


def test_members_of_members_answer_as_their_versions(
    adapter: Adapter, compose: Compose, tmp_path: Path
) -> None:
    a, b = adapter("a"), adapter("b")
    c = adapter("c", "bottleneck", labels=("yes", "no"))
    compose("stack", a, b, publish="upon")
    compose("switch", b, c, publish="either")
    compose("parallel", a, "either", publish="beside")
    nested = compose("switch", "upon", a, "beside")
    assert nested.compared.difference == 0.0

    made, texts = api.load("made"), list(TEXTS)
    assert made.members == ("upon", "a", "beside")
    refs = {"upon": "upon", "upon/b": "b", "beside/either": "either", "beside/either/c": "c"}
    for path, ref in refs.items():
        found, alone = made.member(path), api.load(ref)
        assert np.array_equal(found.predict_proba(texts), alone.predict_proba(texts)), path
    expected = api.load("beside").predict(texts)
    for one, other in zip(made.member("beside").predict(texts), expected, strict=True):
        assert isinstance(one, Several)
        assert close(one.record(), other.record())
    require_rows_by_path(made)
    with pytest.raises(UnknownNameError) as misspelt:
        made.member("beside/eithr/c")
    assert misspelt.value.nearest == "either"
    with pytest.raises(CapabilityError, match="made@1/a is one adapter"):
        made.member("a/b")

    registry = api.open_registry()
    parents = {parent.digest for parent in nested.version.manifest.parents}
    assert parents == {registry.resolve(ref).digest for ref in ("upon", "a", "beside")}
    with pytest.raises(InUseError):
        registry.remove("beside@1")
    copy = registry.checkout(registry.resolve("made"), tmp_path / "copy")
    info = json.loads((copy / "members/beside/members/either/adapterhub.json").read_text())
    assert [member["name"] for member in info["composition"]["members"]] == ["b", "c"]
    assert np.array_equal(api.load(str(copy)).predict_proba(texts), made.predict_proba(texts))


def require_rows_by_path(made: Any) -> None:
    """Fail unless rows that name members of members are answered as these answer alone."""
    names = ["beside/either/c", "upon", "beside", "beside/a"]
    found = made.predict(list(TEXTS), members=names)
    fleet = Fleet(api.open_registry(), get_catalogue())
    rows = [Asked(ref="made", input=t, member=n) for t, n in zip(TEXTS, names, strict=True)]
    served = fleet.predict(rows)
    for row, one, other in zip(rows, found, served, strict=True):
        (expected,) = made.member(row.member).predict([row.input])
        assert not isinstance(other, Exception), other
        assert close(one.record(), expected.record())
        assert close(other.record(), expected.record())


def test_what_a_parallel_of_a_route_and_a_switch_takes(adapter: Adapter, compose: Compose) -> None:
    a, b = adapter("a"), adapter("b", labels=("yes", "no"))
    compose("route", {"ref": a, "words": ["apple"]}, b, head="b", publish="by-words")
    compose("switch", "by-words", a, publish="chosen")
    assert api.load("chosen").classes == ("fruit", "tool", "music", "yes", "no")
    with pytest.raises(CapabilityError, match="different labels"):
        compose({"name": "parallel", "answer": "mean"}, "by-words", b)
    compose("parallel", "by-words", b)
    (one, other) = api.load("made").predict([TEXTS[0], TEXTS[1]])
    assert isinstance(one, Several)
    assert isinstance(other, Several)
    assert len(one.answers["by-words"].record()["probabilities"]) == 5
    assert other.answers["by-words"].record()["label"] in ("yes", "no")


@pytest.mark.parametrize("how", ["stack", "average"])
def test_one_model_is_made_of_adapters(how: str, adapter: Adapter, compose: Compose) -> None:
    a, b = adapter("a"), adapter("b")
    compose("stack", a, b, publish="upon")
    with pytest.raises(CapabilityError, match=rf"upon is a .* itself \(stack\), and {how}") as no:
        compose(how, "upon", a)
    assert no.value.hint.startswith("name its members (a@1, b@1)")


def test_nesting_has_an_end(adapter: Adapter, compose: Compose, tmp_path: Path) -> None:
    a = adapter("a")
    compose("switch", a, adapter("b"))
    place = whole = tmp_path / "whole"
    shutil.copytree(folder_of("made"), whole, copy_function=shutil.copyfile)
    for _ in range(3):
        place = place / "members" / "a"
        shutil.rmtree(place)
        shutil.copytree(folder_of("made"), place, copy_function=shutil.copyfile)
    texts = list(TEXTS)
    found = api.load(str(whole)).member("a/a/a/b").predict_proba(texts)
    assert np.array_equal(found, api.load("b").predict_proba(texts))
    with pytest.raises(CapabilityError, match="whole is nested too deep: at most 4"):
        api.plan_compose({"composition": "switch", "members": [str(whole), a]})
    shutil.rmtree(place / "members" / "b")
    shutil.copytree(whole, place / "members" / "b", ignore=shutil.ignore_patterns("members"))
    shutil.copytree(folder_of("made") / "members", place / "members" / "b" / "members")
    with pytest.raises(CapabilityError, match="nested too deep"):
        api.load(str(whole))


def test_a_member_that_answers_otherwise_is_not_published(
    adapter: Adapter, compose: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adapterhub_lite.composition import run

    a, b = adapter("a"), adapter("b")
    compose("switch", a, b, publish="inner")
    write = run.write_artifact_info

    def damage(folder: Path, info: Any) -> None:
        write(folder, info)
        file = folder / "members" / "inner" / "members" / "b" / "adapter_model.safetensors"
        file.chmod(0o644)
        shutil.copyfile(folder_of("a") / file.name, file)

    monkeypatch.setattr(run, "write_artifact_info", damage)
    with pytest.raises(SelfTestError, match="differ from each member alone"):
        compose("switch", "inner", a)
    assert "made" not in api.open_registry().names()


def test_from_the_command_line(
    ahl: Ahl, adapter: Adapter, compose: Compose, tmp_path: Path
) -> None:
    a, b = adapter("a"), adapter("b", labels=("yes", "no"))
    compose("switch", a, b, publish="either")
    compose("parallel", "a", "either", publish="beside")
    asked = ahl("predict", "beside", TEXTS[0], "--member", "either/b", "--json")
    assert asked.code == 0, asked.err
    assert set(json.loads(asked.out)[0]["probabilities"]) == {"yes", "no"}
    table = ahl("predict", "beside", TEXTS[0]).out
    first, second, shown = table.rstrip("\n").split("\t")
    assert first.startswith("a: ")
    assert second.startswith("either: ")
    assert shown == TEXTS[0]
    csv = ahl("predict", "beside", TEXTS[0], "--format", "csv").out.splitlines()
    header = csv[0].split(",")
    assert header[:3] == ["input", "a.label", "a.score"]
    assert header.count("either.label") == 1
    few = json.loads(ahl("predict", "beside", TEXTS[0], "--json", "--top", "1").out)
    assert [len(one["probabilities"]) for one in few[0]["answers"].values()] == [1, 1]
    rows = tmp_path / "rows.csv"
    rows.write_text(f"text,label\n{TEXTS[0]},fruit\n{TEXTS[1]},tool\n", encoding="utf-8")
    line = ("eval", "beside", "--data", str(rows))
    refused = ahl(*line)
    assert (refused.code, "score one: --member NAME" in refused.err) == (2, True)
    member = ahl(*line, "--member", "either/a")
    assert member.code == 0, member.err
    assert "beside@1/either/a" in member.out
    assert "accuracy" in member.out
    assert "beside@1" not in ahl("show", "beside", "--json").out.partition('"evaluations"')[2]
    dry = ahl("compose", "a", "either", "--as", "stack", "--dry-run")
    assert (dry.code, "name its members" in dry.err) == (2, True)
