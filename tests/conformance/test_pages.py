"""The pages list the checks that there are, and every broken plugin with its check."""

from tests.conformance.pages import (
    COMMAND,
    INTRODUCTION,
    KIT,
    TABLE,
    broken_rows,
    expected_rows,
    kit_page,
)


def test_the_kits_page_lists_its_checks() -> None:
    assert KIT.read_text(encoding="utf-8") == kit_page(), f"run: {COMMAND} --kit"


def test_the_table_has_every_broken_plugin() -> None:
    """Figures in messages may differ by machine, and test_broken compares what they say."""
    text = TABLE.read_text(encoding="utf-8")
    assert text.startswith(INTRODUCTION), f"run: {COMMAND}"
    assert broken_rows(text) == expected_rows(), f"run: {COMMAND}"
