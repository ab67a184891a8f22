"""What the tests of the documentation share: the pages, and what is written in them."""

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"

FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


def all_pages() -> list[Path]:
    """Return every page that a reader may come upon: the site's, and those beside the code."""
    beside = [ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("examples/**/*.md")]
    return sorted([*DOCS.rglob("*.md"), *beside])


def name_of(page: Path) -> str:
    """Return a page's path from the project's root, to name a test by."""
    return page.relative_to(ROOT).as_posix()


def blocks(text: str, *languages: str) -> Iterator[str]:
    """Yield the text of each fenced block in one of the languages, without its indentation."""
    for _, language, inside in FENCE.findall(text):
        if language in languages:
            yield textwrap.dedent(inside)


def prose(text: str) -> str:
    """Return a page without its fenced blocks."""
    return FENCE.sub("", text)


def spans(text: str) -> list[str]:
    """Return what stands between single backticks, outside of blocks."""
    return SPAN.findall(prose(text))


def cell(text: str) -> str:
    """Return text as one line of a table or list, with no markup but its own code spans."""
    parts = " ".join(text.split()).replace("|", r"\|").split("`")
    parts[::2] = [part.replace("<", "&lt;").replace("*", r"\*") for part in parts[::2]]
    return "`".join(parts)


def literal(value: Any) -> str:
    """Return a value as a recipe writes it, in code."""
    plain = isinstance(value, str) and re.fullmatch(r"[\w./+-]+", value)
    return f"`{value if plain else json.dumps(value, ensure_ascii=False)}`"


def type_text(schema: dict[str, Any]) -> str:
    """Say in words what a JSON Schema allows; a definition is linked to by its heading."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(type_text(choice) for choice in schema[several]))
    if "const" in schema:
        return literal(schema["const"])
    if "enum" in schema:
        return " or ".join(literal(value) for value in schema["enum"])
    return _plain(schema)


def _plain(schema: dict[str, Any]) -> str:
    """Say what a schema of one type allows."""
    match schema.get("type"):
        case "array":
            if "prefixItems" in schema:
                return f"[{', '.join(type_text(item) for item in schema['prefixItems'])}]"
            return f"list of {type_text(schema.get('items', {}))}"
        case "object":
            values = schema.get("additionalProperties")
            return f"mapping to {type_text(values)}" if isinstance(values, dict) else "mapping"
        case "null":
            return "none"
        case None:
            return "any value"
        case kind:
            words = {"string": "text", "boolean": "true or false"}
            return " ".join([words.get(kind, kind), *_limits(schema)])


def _limits(schema: dict[str, Any]) -> Iterator[str]:
    signs = {"minimum": "≥", "exclusiveMinimum": "&gt;", "maximum": "≤", "exclusiveMaximum": "&lt;"}
    for key, sign in signs.items():
        if key in schema:
            yield f"{sign} {schema[key]}"
    if "pattern" in schema:
        yield f"like `{schema['pattern']}`"


def fields_table(schema: dict[str, Any], parts: dict[str, Any]) -> list[str]:
    """Return a table of a schema's properties; ``parts`` are the definitions that it refers to."""
    rows = ["| key | type | default | what it says |", "|---|---|---|---|"]
    for name, field in schema["properties"].items():
        default = "required" if name in schema.get("required", []) else _default(field)
        # pydantic leaves out a description that is the same as that of the part.
        part = parts.get(field.get("$ref", "").rsplit("/", 1)[-1], {})
        said = cell(field.get("description") or part.get("description", ""))
        rows.append(f"| `{name}` | {type_text(field)} | {default} | {said} |")
    return [*rows, ""]


def _default(field: dict[str, Any]) -> str:
    if "$ref" in field and "default" not in field:
        return "its own"
    value = field.get("default")
    return "none" if value in (None, [], {}, "") else literal(value)
