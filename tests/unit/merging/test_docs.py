"""docs/strategies.md is what the strategies' specs say.

After changing a spec, write the page anew: ``python tests/unit/merging/test_docs.py``.
"""

from pathlib import Path

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.specs import MERGE_CAPABILITIES, MergeSpec, Params

PAGE = Path(__file__).parents[3] / "docs" / "strategies.md"
INTRODUCTION = """\
# Merge strategies

θ₀ is the base, θᵢ a model and δᵢ = θᵢ − θ₀ its task vector. Parameters of *each model* may also be
given once for all, at the strategy. `ahl strategies show NAME` says the same with an example.

This page is written from the specs by `python tests/unit/merging/test_docs.py`.
"""


def page() -> str:
    """Return docs/strategies.md as it should be."""
    catalogue = get_catalogue(first_party_only=True)
    sections = [section(catalogue.strategy(name)) for name in catalogue.names("strategy")]
    traits = [f"- *{name}*: {said}" for name, said in sorted(MERGE_CAPABILITIES.items())]
    return "\n".join([INTRODUCTION, "## Traits\n", *traits, "", *sections])


def section(spec: MergeSpec) -> str:
    """Return one strategy's section."""
    lines = [f"## {spec.name}\n", f"{spec.summary}\n", f"```text\n{spec.formula}\n```\n"]
    facts = [f"Base {spec.base}", ", ".join(sorted(spec.capabilities))]
    lines.append(". ".join(fact for fact in facts if fact) + ".\n")
    lines += parameters("each model", spec.model_params)
    lines += parameters("the merge", spec.params)
    if spec.paper:
        lines.append(f"<{spec.paper}>\n")
    return "\n".join(lines)


def parameters(owner: str, model: type[Params]) -> list[str]:
    """Return a list of parameters with defaults and help."""
    if not model.model_fields:
        return []
    lines = [f"Parameters of {owner}:\n"]
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else f"default {field.default}"
        lines.append(f"- `{field.alias or name}` ({default}): {field.description}")
    return [*lines, ""]


def test_the_page_is_what_the_specs_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


def test_the_page_would_change_with_a_strategy() -> None:
    catalogue: Catalogue = get_catalogue(first_party_only=True)
    assert all(f"## {name}\n" in page() for name in catalogue.names("strategy"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
