"""What the generators share says in words what a schema allows, and finds what is in a page."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, TypeAdapter

from tests.unit.docs.pages import blocks, cell, fields_table, spans, type_text


class Inner(BaseModel):
    """A part."""

    size: int = 3


class Outer(BaseModel):
    """A whole."""

    name: str
    inner: Inner = Field(default_factory=Inner)
    tags: list[str] = Field(default_factory=list, description="Words | signs.")


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (str, "text"),
        (bool, "true or false"),
        (int | None, "integer or none"),
        (list[float], "list of number"),
        (tuple[int, int], "[integer, integer]"),
        (dict[str, int], "mapping to integer"),
        (dict[str, Any], "mapping"),
        (Any, "any value"),
        (Literal["auto", "a b"], '`auto` or `"a b"`'),
        (Annotated[int, Field(ge=1, lt=9)], "integer ≥ 1 &lt; 9"),
        (Annotated[str, Field(pattern="^keep .+")], "text like `^keep .+`"),
        (int | list[int] | int, "integer or list of integer"),
    ],
)
def test_types_are_said_in_words(annotation: Any, said: str) -> None:
    assert type_text(TypeAdapter(annotation).json_schema()) == said


def test_a_table_has_type_default_and_help() -> None:
    schema = Outer.model_json_schema()
    assert fields_table(schema, schema["$defs"])[2:-1] == [
        "| `name` | text | required |  |",
        "| `inner` | [Inner](#inner) | its own | A part. |",
        "| `tags` | list of text | none | Words \\| signs. |",
    ]


def test_help_keeps_its_code_and_nothing_else() -> None:
    assert cell("a <b> *c*\n  `*<d>*`") == "a &lt;b> \\*c\\* `*<d>*`"


def test_blocks_and_spans_are_told_apart() -> None:
    page = "`a` ``b``\n\n```sh\nc `d`\n```\n\n<div>\n    ```yaml title=x\n    e: 1\n    ```\n"
    assert spans(page) == ["a"]
    assert list(blocks(page, "sh")) == ["c `d`\n"]
    assert list(blocks(page, "yaml")) == ["e: 1\n"]
