"""``ahl methods``, ``ahl objectives``, ``ahl loaders``: what can be chosen, and how it is set."""

import json
from importlib.metadata import version
from typing import Any

import pytest

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.plugins import get_catalogue

KINDS = ("method", "objective", "loader")


@pytest.fixture
def catalogue() -> Catalogue:
    return get_catalogue(first_party_only=True)


def parts(kind: str) -> list[str]:
    return get_catalogue(first_party_only=True).names(kind)


EVERY = [(kind, name) for kind in KINDS for name in parts(kind)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_has_a_line_for_each_with_its_summary(
    ahl: Any, catalogue: Catalogue, kind: str
) -> None:
    done = ahl(f"{kind}s", "list", "--no-plugins")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    for name in parts(kind):
        (line,) = [line for line in lines if line.split() and line.split()[0] == name]
        assert catalogue.offer(kind, name).spec.summary in line
    assert lines[-1] == f"more of one: ahl {kind}s show NAME"


@pytest.mark.parametrize("kind", KINDS)
def test_the_list_as_json(ahl: Any, catalogue: Catalogue, kind: str) -> None:
    rows = json.loads(ahl(f"{kind}s", "list", "--json", "--no-plugins").out)
    assert [row["name"] for row in rows] == parts(kind)
    for row in rows:
        spec: Any = catalogue.offer(kind, row["name"]).spec
        assert row["summary"] == spec.summary
        assert row["requires"] == [requirement.install for requirement in spec.requires]


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_one_is_shown_with_every_parameter_its_default_and_its_help(
    ahl: Any, catalogue: Catalogue, kind: str, name: str
) -> None:
    done = ahl(f"{kind}s", "show", name, "--no-plugins")
    assert (done.code, done.err) == (0, "")
    spec: Any = catalogue.offer(kind, name).spec
    assert done.out.startswith(f"{name}: {spec.summary}\n")
    facts = [line.split(None, 1) for line in done.out.splitlines()[2:]]
    assert (["paper", spec.paper] in facts) == bool(spec.paper)
    assert ["from", f"adapterhub-lite {version('adapterhub-lite')}"] in facts
    for key, field in spec.params.model_fields.items():
        assert f"\n  {key} (" in done.out
        told = "".join(str(field.description).split())
        assert told in "".join(done.out.split())
    assert ("it takes no parameters" in done.out) == (not spec.params.model_fields)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_one_as_json_has_the_schema_of_its_parameters(
    ahl: Any, catalogue: Catalogue, kind: str, name: str
) -> None:
    shown = json.loads(ahl(f"{kind}s", "show", name, "--json", "--no-plugins").out)
    spec: Any = catalogue.offer(kind, name).spec
    assert shown["parameters"] == spec.params.model_json_schema()
    assert set(shown["parameters"].get("properties", {})) == set(spec.params.model_fields)
    (listed,) = [
        row
        for row in json.loads(ahl(f"{kind}s", "list", "--json", "--no-plugins").out)
        if row["name"] == name
    ]
    assert {key: shown[key] for key in listed} == listed


def test_a_method_says_what_it_can_and_where_it_works(ahl: Any) -> None:
    shown = json.loads(ahl("methods", "show", "full", "--json").out)
    assert shown["needs_base"] is False
    assert shown["learning_rate"] == 5e-5
    assert {"decoder", "encoder", "encoder-decoder"} == set(shown["families"])
    assert "gradient-checkpointing" in shown["capabilities"]
    text = ahl("methods", "show", "full").out
    assert "gradient-checkpointing, identity-at-init" in text
    assert "layers (default: all)" in text
    assert "parameters (default: none)" in text


def test_an_objective_says_its_task_and_rows(ahl: Any) -> None:
    text = ahl("objectives", "show", "contrastive").out
    lines = dict(line.split(None, 1) for line in text.splitlines()[2:8] if line.strip())
    assert lines["task"] == "text-classification"
    assert lines["rows"] == "labelled-text"
    assert lines["bases"] == "encoder"


def test_a_loader_says_what_it_weighs(ahl: Any) -> None:
    shown = json.loads(ahl("loaders", "show", "fp16", "--json").out)
    assert shown["needs_gpu"] is True
    assert shown["quantised"] is False
    assert "about 2 bytes a parameter" in ahl("loaders", "show", "bf16").out


@pytest.mark.parametrize(
    ("kind", "name", "nearest"),
    [
        ("method", "ful", "full"),
        ("objective", "contrastiv", "contrastive"),
        ("loader", "fp23", "fp32"),
    ],
)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_an_unknown_name_comes_with_the_nearest(
    ahl: Any, kind: str, name: str, nearest: str, form: list[str]
) -> None:
    done = ahl(f"{kind}s", "show", name, *form)
    assert (done.code, done.out) == (2, "")
    error, hint = done.err.splitlines()
    assert error == f"error: unknown {kind} {name!r}"
    assert f"did you mean {nearest!r}?" in hint


def test_what_a_stranger_offers_is_listed_and_named(ahl: Any, environment: Any) -> None:
    source = (
        "from adapterhub_lite.hookspecs import hookimpl\n"
        "from adapterhub_lite.specs import MethodSpec\n\n"
        "@hookimpl\ndef adapterhub_methods():\n"
        "    yield MethodSpec(name='bitfit', summary='Biases only.', paper='arxiv:2106.10199',\n"
        "        heads=frozenset({'causal-lm'}), refusals={'none': 'it is picky'})\n"
    )
    environment.install("acme", {"x": "acme"}, {"acme": source}, version="3.1")
    assert "Biases only." in ahl("methods", "list").out
    text = ahl("methods", "show", "bitfit").out
    assert "acme 3.1" in text
    assert "arxiv:2106.10199" in text
    assert "it is picky" in text
    assert "it takes no parameters" in text
    assert "bitfit" not in ahl("methods", "list", "--no-plugins").out
