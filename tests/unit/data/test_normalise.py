"""One spelling of each text."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite.data.normalise import normalise, normalise_text
from adapterhub_lite.data.table import TextSet

ODD = "a\u0301\u00a0\u200b\ufeff\r\n\t\x00\u2028\u3000\u00ad \u1100\u1161\u0344\ud800\u200d"


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("  a \r\n b\tc ", "a b c"),
        ("a\u00a0b\u3000c\u2028d", "a b c d"),
        ("e\u0301", "\u00e9"),
        ("e\u200b\u0301", "\u00e9"),
        ("so\u00adft\ufeff \x07bell\x7f", "soft bell"),
        ("\u202eevil\u202c", "evil"),
        ("half \ud800 pair", "half \ufffd pair"),
        ("👩\u200d💻 \u0645\u06cc\u200c\u062e\u0648", "👩\u200d💻 \u0645\u06cc\u200c\u062e\u0648"),
        ("\u200b \x00", ""),
    ],
)
def test_examples(text: str, normal: str) -> None:
    assert normalise_text(text) == normal


@given(st.text() | st.text(st.sampled_from(ODD)))
def test_it_is_idempotent_and_plain(text: str) -> None:
    once = normalise_text(text)
    assert normalise_text(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert once == " ".join(once.split())
    once.encode()


def test_changed_texts_are_counted() -> None:
    found = normalise(TextSet(("a", "b ", "c\u00a0d"), (("x",),) * 3))
    assert found.rows.texts == ("a", "b", "c d")
    assert found.changed == 2
