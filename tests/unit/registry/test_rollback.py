"""An alias goes back to where it pointed, by its log."""

import pytest

from adapterhub_lite_registry import NotFoundError


@pytest.fixture
def moved(registry, publish):
    publish(), publish(), publish()
    for number in (1, 2, 3):
        registry.set_alias("support", "prod", number)
    return registry


def test_back_and_forth(moved):
    move = moved.rollback("support", "prod")
    assert (move.before, move.after) == (3, 2)
    assert moved.aliases("support") == {"prod": 2}
    moved.rollback("support", "prod")
    assert moved.aliases("support") == {"prod": 3}


def test_a_removed_alias_comes_back(moved):
    moved.remove_alias("support", "prod")
    assert moved.rollback("support", "prod").before is None
    assert moved.aliases("support") == {"prod": 3}


def test_there_is_nothing_before_the_first(registry, publish):
    publish(alias="prod")
    with pytest.raises(NotFoundError, match="always pointed to support@1"):
        registry.rollback("support", "prod")
    with pytest.raises(NotFoundError, match="never had an alias 'next'"):
        registry.rollback("support", "next")
    assert registry.aliases("support") == {"prod": 1}


def test_a_version_that_is_gone_is_not_pointed_to(moved):
    moved.remove("support@2")
    with pytest.raises(NotFoundError, match="removed"):
        moved.rollback("support", "prod")
    assert moved.aliases("support") == {"prod": 3}


def test_a_move_that_never_took_effect_is_no_step(moved):
    log = moved.home / "journal" / "aliases.log"
    last = log.read_text().splitlines()[-1]
    log.write_text(
        log.read_text() + last.replace('"before":2,"after":3', '"before":3,"after":1') + "\n"
    )
    assert moved.rollback("support", "prod").after == 2
