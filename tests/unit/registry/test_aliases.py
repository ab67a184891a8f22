"""Aliases move by compare-and-swap, and every move is remembered."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from adapterhub_lite_registry import (
    AliasConflictError,
    IntegrityError,
    NotFoundError,
    Registry,
    RegistryError,
    StorageError,
)


def moves(registry, **which):
    return [(m.alias, m.before, m.after) for m in registry.alias_history("support", **which)]


def test_an_alias_moves_and_is_remembered(registry, publish):
    for _ in range(3):
        publish()
    registry.set_alias("support", "prod", 1)
    registry.set_alias("support", "prod", 3)
    registry.set_alias("support", "next", 3)
    registry.remove_alias("support", "prod")
    assert registry.aliases("support") == {"next": 3}
    assert moves(registry, alias="prod") == [("prod", None, 1), ("prod", 1, 3), ("prod", 3, None)]
    assert moves(registry)[2] == ("next", None, 3)


def test_what_a_reference_means_is_told_without_reading_the_version(registry, publish):
    first = publish(alias="prod")
    publish()
    manifest = registry.resolve("support@2").digest
    for ref in ("support", "support@1", "support@prod", f"support@{first.digest}"):
        assert registry.locate(ref) == str(registry.resolve(ref))
    registry.remove("support@2")
    assert registry.locate("support") == "support@1"
    for ref in ("support@2", "support@3", "support@next", f"support@{manifest}", "other"):
        with pytest.raises(NotFoundError):
            registry.locate(ref)


def test_a_move_to_the_same_place_is_none(registry, publish):
    publish(alias="prod")
    registry.set_alias("support", "prod", 1)
    assert moves(registry) == [("prod", None, 1)]


@pytest.mark.parametrize("expected", [2, None])
def test_an_alias_elsewhere_than_expected_stays(registry, publish, expected):
    publish(alias="prod")
    publish()
    with pytest.raises(AliasConflictError, match="support@1"):
        registry.set_alias("support", "prod", 2, expected=expected)
    with pytest.raises(AliasConflictError):
        registry.remove_alias("support", "prod", expected=expected)
    assert registry.aliases("support") == {"prod": 1}


def test_an_alias_where_expected_moves(registry, publish):
    publish()
    publish()
    registry.set_alias("support", "prod", 1, expected=None)
    registry.set_alias("support", "prod", 2, expected=1)
    assert registry.aliases("support") == {"prod": 2}


def test_of_many_that_expect_the_same_one_wins(registry, publish):
    for _ in range(8):
        publish()

    def claim(number: int) -> bool:
        try:
            registry.set_alias("support", "prod", number, expected=None)
        except AliasConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(claim, range(1, 9)))
    assert won.count(True) == 1
    assert registry.aliases("support") == {"prod": won.index(True) + 1}


def test_what_does_not_exist(registry, publish):
    publish(alias="prod")
    with pytest.raises(NotFoundError, match="no version 9"):
        registry.set_alias("support", "prod", 9)
    with pytest.raises(NotFoundError) as caught:
        registry.remove_alias("support", "prd")
    assert "prod" in caught.value.hint
    with pytest.raises(NotFoundError) as caught:
        registry.resolve("suport@prod")
    assert "support" in caught.value.hint
    with pytest.raises(NotFoundError, match="no registry"):
        Registry.open(registry.home / "elsewhere", create=False)


def test_a_flipped_byte_in_an_alias_is_refused_and_can_be_repaired(registry, publish, flip):
    publish(alias="prod")
    alias = registry.home / "refs" / "support" / "alias" / "prod"
    for position in range(alias.stat().st_size):
        flip(alias, position)
        with pytest.raises(IntegrityError):
            registry.resolve("support@prod")
        assert [problem.path for problem in registry.fsck().problems] == ["refs/support/alias/prod"]
        flip(alias, position)
    flip(alias)
    registry.set_alias("support", "prod", 1)
    assert registry.resolve("support@prod").number == 1
    assert registry.fsck(read_data=True).problems == ()


def test_a_move_that_a_full_disk_stops_is_not_in_the_history(registry, publish, disks):
    publish(alias="prod")
    publish()
    fail_at = 1
    while True:
        io = disks.Failing(10**9)
        broken = Registry.open(registry.home, io=io)
        io.fail_at = io.calls + fail_at
        try:
            broken.set_alias("support", "prod", 2, expected=1)
        except StorageError:
            if registry.aliases("support") == {"prod": 1}:
                assert moves(registry) == [("prod", None, 1)]
            else:  # moved, but not known to be durable
                registry.set_alias("support", "prod", 1)
                break
            fail_at += 1
        else:
            break
    assert fail_at > 3
    assert not list((registry.home / "tmp").iterdir())


def test_a_line_that_a_crash_cut_short_is_passed_over(registry, publish):
    publish(alias="prod")
    publish()
    with (registry.home / "journal" / "aliases.log").open("ab") as log:
        log.write(b'{"time":"2026')
    registry.set_alias("support", "prod", 2)
    assert moves(registry) == [("prod", None, 1), ("prod", 1, 2)]


def test_an_alias_that_fails_after_publishing_says_so(registry, publish):
    (registry.home / "journal" / "aliases.log").mkdir()
    with pytest.raises(RegistryError, match="support@1 is published"):
        publish(alias="prod")
    assert registry.names() == ["support"]
