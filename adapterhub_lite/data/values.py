"""Texts with numbers: regression, and pairs of texts that are more or less similar."""

import math
from collections.abc import Callable
from typing import Final

from adapterhub_lite.data.cells import CellError, blank, number, short, text
from adapterhub_lite.data.columns import TEXT_NAMES
from adapterhub_lite.data.examples import SimilarTexts, ValuedText
from adapterhub_lite.data.forms import Cells, Form, Role

Scale = tuple[float, float]
"""The lowest and the highest similarity that a file uses."""

PLAIN_SCALE: Final[Scale] = (0.0, 1.0)


def _valued_text(cells: Cells) -> ValuedText:
    second = text(cells["text2"], "text2") if "text2" in cells else None
    return ValuedText(text(cells["text"], "text"), number(cells["value"], "value"), second)


_VALUE: Final = Role("value", ("score", "label", "target", "rating"))
VALUED: Final = (Form("text-value", (Role("text", TEXT_NAMES), _VALUE), _valued_text),)
VALUED_PAIRS: Final = (
    *VALUED,
    Form(
        "texts-value",
        (
            Role("text", ("sentence1", "text1", "premise", "question1")),
            Role("text2", ("sentence2", "hypothesis", "question2")),
            _VALUE,
        ),
        _valued_text,
    ),
)


def similar_forms(scale: Scale | None) -> tuple[Form, ...]:
    """Return the form of similar texts, whose values are brought from ``scale`` to 0..1."""
    roles = (
        Role("anchor", ("sentence1", "query", "question", "text1")),
        Role("positive", ("sentence2", "answer", "text2")),
        Role("negative", required=False),
        Role(
            "value",
            ("score", "label", "similarity", "similarity_score"),
            required=False,
            everywhere=True,
        ),
    )
    return (Form("similar", roles, _similar_texts(scale or PLAIN_SCALE)),)


def _similar_texts(scale: Scale) -> Callable[[Cells], SimilarTexts]:
    def parse(cells: Cells) -> SimilarTexts:
        negative = None
        if "negative" in cells:
            if "value" in cells:
                raise CellError(
                    "a row cannot have both a negative and a value",
                    "leave one of the two columns out",
                )
            negative = None if blank(cells["negative"]) else text(cells["negative"], "negative")
        return SimilarTexts(
            text(cells["anchor"], "anchor"),
            text(cells["positive"], "positive"),
            negative,
            _similarity(cells["value"], scale) if "value" in cells else None,
        )

    return parse


def _similarity(cell: object, scale: Scale) -> float:
    """Return the similarity from 0 to 1; NaN for a cell that holds nothing."""
    low, high = scale
    value = number(cell, "value")
    if math.isnan(value) or low <= value <= high:
        return (value - low) / (high - low)
    raise CellError(
        f"the value {short(cell)} does not lie between {low:g} and {high:g}",
        "say the file's lowest and highest value in the recipe, scale: [0, 5], or with --scale 0 5",
    )
