"""Removing versions, and the family of those that stay."""

import pytest

from adapterhub_lite_registry import InUseError, NotFoundError


def test_a_removed_number_is_not_used_again(registry, publish):
    publish(), publish()
    registry.remove("support@2")
    assert registry.versions("support") == [1]
    assert registry.resolve("support").number == 1
    with pytest.raises(NotFoundError, match="was removed"):
        registry.resolve("support@2")
    assert publish().number == 3
    assert registry.fsck(read_data=True).problems == ()


def test_a_name_whose_versions_are_all_removed_is_gone(registry, publish):
    publish()
    registry.remove("support")
    assert registry.names() == []
    assert registry.search() == []
    with pytest.raises(NotFoundError, match="every version"):
        registry.resolve("support")
    with pytest.raises(NotFoundError):
        registry.versions("support")
    assert publish().number == 2


def test_what_an_alias_points_to_stays(registry, publish):
    publish(alias="prod")
    assert registry.remove("support@1", dry_run=True).aliases == ("prod",)
    with pytest.raises(InUseError, match="alias prod"):
        registry.remove("support@1")
    registry.remove_alias("support", "prod")
    registry.remove("support@1")
    assert registry.names() == []


def test_what_a_child_was_made_from_stays(registry, publish):
    parent = publish()
    publish("child", parents=[{"digest": parent.digest}])
    assert registry.remove("support@1", dry_run=True).is_refused
    with pytest.raises(InUseError, match="child@1"):
        registry.remove("support@1")
    registry.remove("child@1")
    registry.remove("support@1")


def test_a_dry_run_changes_nothing(registry, publish):
    version = publish()
    plan = registry.remove("support@1", dry_run=True)
    assert (str(plan.ref), plan.size, plan.is_refused) == (
        "support@1",
        version.manifest.size,
        False,
    )
    assert registry.resolve("support@1") == version


def test_bytes_that_others_publish_meanwhile_stay(registry, publish, files):
    version = publish()
    registry.remove("support@1")
    again = publish("other")
    for path, data in files.items():
        assert registry.read_file(again, path) == data
    assert again.manifest.files == version.manifest.files


def test_lineage_goes_up_and_down(registry, publish):
    grand = publish("grand")
    parent = publish("parent", parents=[{"digest": grand.digest, "role": "base"}])
    stranger = "sha256:" + "0" * 64
    child = publish(
        "child", parents=[{"digest": parent.digest, "weight": 0.6}, {"digest": stranger}]
    )
    lineage = registry.lineage("child")
    above, unknown = lineage.parents
    assert (above.ref, above.weight, above.kind) == ("parent@1", 0.6, "adapter")
    assert [node.ref for node in above.nodes] == ["grand@1"]
    assert (unknown.digest, unknown.ref, unknown.kind) == (stranger, None, None)
    (below,) = registry.lineage("grand").children
    assert below.ref == "parent@1"
    assert [node.digest for node in below.nodes] == [child.digest]


def test_a_family_that_meets_again_is_followed_once(registry, publish):
    last = [publish("root").digest]
    for generation in range(12):
        last = [
            publish(f"g{generation}-{side}", parents=[{"digest": digest} for digest in last]).digest
            for side in "ab"
        ]
    assert len(registry.lineage("g11-a").parents) == 2
    assert len(registry.lineage("root").children) == 2


def test_a_very_long_line_of_descent(registry, publish):
    digest = publish(files={"a.json": b""}).digest
    for _ in range(130):
        digest = publish(files={"a.json": b""}, parents=[{"digest": digest}]).digest
    assert registry.lineage("support").parents[0].ref == "support@130"
    assert registry.lineage("support@1").children[0].ref == "support@2"
