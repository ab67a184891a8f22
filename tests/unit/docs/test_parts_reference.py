"""The pages of docs/reference/ about methods, objectives and other parts say what specs say.

After changing a spec, write them anew: ``python tests/unit/docs/test_parts_reference.py``.
Merge strategies have a page of their own, docs/strategies.md.
"""

from collections.abc import Iterable, Iterator

import pytest
import yaml

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.plugins.admitted import KINDS
from adapterhub_lite.specs import CAPABILITIES, NoParams, Params, PresetSpec, Spec
from tests.unit.docs.pages import REFERENCE, cell, fields_table

WRITTEN = "This page is written from the specs by `python tests/unit/docs/test_parts_reference.py`."
INTRODUCTIONS = {
    "methods": (
        "# Methods\n\nWhich parameters learn. `ahl methods show NAME` says the same of any "
        "installed method. What works with what stands in the "
        "[support matrix](../support-matrix.md), and more about PEFT's methods in "
        f"[Methods of PEFT](../methods.md).\n\n{WRITTEN}\n"
    ),
    "objectives": (
        "# Objectives\n\nWhat is optimised, and on which rows. `ahl objectives show NAME` says the "
        f"same; [Objectives](../objectives.md) says how they are meant.\n\n{WRITTEN}\n"
    ),
    "parts": (
        "# Loaders, presets and other parts\n\nWhat comes with the project beside methods, "
        "objectives and [merge strategies](../strategies.md). `ahl plugins list` shows what is "
        f"installed, strangers' parts too.\n\n{WRITTEN}\n"
    ),
}
ELSEWHERE = {"method", "objective", "strategy"}
FACTS = {
    "task": "Task",
    "tasks": "Tasks",
    "rows": "Rows",
    "families": "Bases",
    "suffixes": "Endings",
    "takes": "Can be told",
    "learning_rate": "Learning rate",
    "bytes_per_parameter": "Bytes a parameter",
    "capabilities": "Can",
}
"""What is said of a spec, where it has it, beside its summary, parameters and paper."""

PARAMETERS = {"params": "", "member_params": "Of each member:\n"}
"""Where a spec has models of parameters, and whose they are."""


def pages(catalogue: Catalogue) -> dict[str, str]:
    """Return the pages as they should be, by name."""
    return {
        "methods": page("methods", capabilities(), sections(catalogue, "method", "##")),
        "objectives": page("objectives", sections(catalogue, "objective", "##")),
        "parts": page(
            "parts", *(others(catalogue, kind) for kind in KINDS if kind not in ELSEWHERE)
        ),
    }


def page(name: str, *parts: Iterable[str]) -> str:
    """Return a page of its introduction and its parts."""
    return (
        "\n".join([INTRODUCTIONS[name], *(line for part in parts for line in part)]).rstrip() + "\n"
    )


def capabilities() -> Iterator[str]:
    """Yield what the capabilities of methods mean."""
    yield "What a method *can* do, each measured by a test:\n"
    yield from (f"- *{name}*: {said}" for name, said in sorted(CAPABILITIES.items()))
    yield ""


def others(catalogue: Catalogue, kind: str) -> Iterator[str]:
    """Yield the section of a kind, if the project brings any of it."""
    if catalogue.names(kind):
        yield f"## {kind.capitalize()}s\n"
        yield from sections(catalogue, kind, "###")


def sections(catalogue: Catalogue, kind: str, level: str) -> Iterator[str]:
    """Yield a section for each part of a kind."""
    for name in catalogue.names(kind):
        spec = catalogue.offer(kind, name).spec
        yield f"{level} {name}\n\n{cell(spec.summary)}\n"
        if said := facts(spec):
            yield f"{'. '.join(said)}.\n"
        yield from parameters(spec)
        if spec.paper:
            yield f"<{spec.paper}>\n"


def facts(spec: Spec) -> list[str]:
    """Return what else a spec says that a reader can use."""
    said = []
    for attribute, title in FACTS.items():
        value = getattr(spec, attribute, None)
        if value:
            shown = ", ".join(sorted(value)) if isinstance(value, frozenset | tuple) else str(value)
            said.append(f"{title}: {shown}")
    refusals = getattr(spec, "refusals", {})
    for reason in dict.fromkeys(refusals.values()):
        heads = sorted(head for head, why in refusals.items() if why == reason)
        said.append(f"Not for {', '.join(heads)}: {cell(reason)}")
    return [*said, *(f"Needs `{requirement.install}`" for requirement in spec.requires)]


def parameters(spec: Spec) -> Iterator[str]:
    """Yield the table of a part's parameters, or what a preset stands for."""
    if isinstance(spec, PresetSpec):
        yield f"```yaml\n{yaml.safe_dump(dict(spec.recipe), sort_keys=False)}```\n"
    for attribute, owner in PARAMETERS.items():
        params: type[Params] = getattr(spec, attribute, NoParams)
        schema = params.model_json_schema()
        if schema.get("properties"):
            yield from [owner, *fields_table(schema, schema.get("$defs", {}))]


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    return pages(get_catalogue(first_party_only=True))


@pytest.mark.parametrize("name", INTRODUCTIONS)
def test_the_page_is_what_the_specs_say(name: str, written: dict[str, str]) -> None:
    update = "write it anew: python tests/unit/docs/test_parts_reference.py"
    assert (REFERENCE / f"{name}.md").read_text(encoding="utf-8") == written[name], update


def test_every_first_party_part_has_its_section(written: dict[str, str]) -> None:
    headings = {line.lstrip("#").strip() for text in written.values() for line in text.split("\n")}
    catalogue = get_catalogue(first_party_only=True)
    for kind in KINDS.keys() - {"strategy"}:
        assert set(catalogue.names(kind)) <= headings, kind


if __name__ == "__main__":
    for page_name, text in pages(get_catalogue(first_party_only=True)).items():
        (REFERENCE / f"{page_name}.md").write_text(text, encoding="utf-8")
