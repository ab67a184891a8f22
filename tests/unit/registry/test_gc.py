"""Collecting: what nothing needs goes, in two steps; what anything needs stays."""

import json
import os
import threading
import time
from pathlib import Path

import pytest

from adapterhub_lite_registry import IntegrityError, Registry
from adapterhub_lite_registry.locks import PublishLock

DAY = 24 * 3600


def blobs(registry: Registry) -> set[bytes]:
    return {path.read_bytes() for path in registry.home.glob("blobs/sha256/??/*")}


def age(registry: Registry, days: float) -> None:
    then = time.time() - days * DAY
    for path in registry.home.glob("*/sha256/??/*"):
        os.utime(path, (then, then))


@pytest.fixture
def collected(registry, publish):
    """Collect all that can be, at once."""
    return lambda: registry.gc(grace=0, quarantine=0)


def test_only_what_no_version_needs_goes(registry, publish, collected):
    publish(files={"a.json": b"old", "shared.json": b"shared"})
    kept = publish(files={"a.json": b"new", "shared.json": b"shared"})
    registry.path(registry.resolve("support@1"))
    registry.remove("support@1")
    report = collected()
    assert (report.moved.files, report.emptied.files) == (2, 2)  # a file and a manifest
    assert report.folders.files == 2
    assert blobs(registry) == {b"new", b"shared"}
    assert registry.path(kept).is_dir()
    problems = registry.fsck(read_data=True)
    assert problems.problems == ()
    assert problems.unreferenced.files == problems.quarantined.files == 0
    assert collected().moved.files == 0


def test_the_young_stay_and_the_old_wait_in_quarantine(registry, publish):
    publish(files={"a.json": b"old"})
    registry.remove("support@1")
    assert registry.gc().young.files == 2
    age(registry, 15)
    report = registry.gc()
    assert (report.moved.files, report.emptied.files, report.quarantined.files) == (2, 0, 2)
    assert blobs(registry) == set()
    assert registry.gc(quarantine=0).emptied.files == 2
    assert not list(registry.home.glob("quarantine/*"))


def test_a_dry_run_says_the_same_and_changes_nothing(registry, publish):
    publish()
    registry.remove("support@1")
    before = sorted(registry.home.rglob("*"))
    planned = registry.gc(grace=0, dry_run=True)
    assert sorted(registry.home.rglob("*")) == before
    done = registry.gc(grace=0)
    assert (planned.moved, planned.young) == (done.moved, done.young)


def test_a_child_keeps_the_manifest_of_a_parent_that_is_gone(registry, publish, collected):
    parent = publish(files={"a.json": b"parent"})
    child = publish("child", files={"a.json": b"child"}, parents=[{"digest": parent.digest}])
    (path,) = registry.home.glob("refs/support/v/*")
    line = path.read_bytes()
    path.unlink()
    path.write_bytes(b"removed " + line)  # removed while the child was published
    collected()
    assert blobs(registry) == {b"child"}
    (above,) = registry.lineage(str(child)).parents
    assert (above.digest, above.kind) == (parent.digest, "adapter")


def test_a_checkout_that_links_by_name_keeps_its_files(registry, publish, collected, tmp_path):
    version = publish(files={"a.json": b"linked"})
    registry._io.link = _refuse  # as across file systems
    folder = registry.checkout(version, tmp_path / "out", link=True)
    del registry._io.link
    registry.remove("support@1")
    collected()
    assert (folder / "a.json").is_symlink()
    assert (folder / "a.json").read_bytes() == b"linked"
    (folder / "a.json").unlink()
    folder.rmdir()
    collected()
    assert blobs(registry) == set()


def test_a_hard_linked_checkout_needs_nothing(registry, publish, collected, tmp_path):
    folder = registry.checkout(publish(files={"a.json": b"mine"}), tmp_path / "out", link=True)
    registry.remove("support@1")
    assert collected().emptied.files == 2
    assert (folder / "a.json").read_bytes() == b"mine"


def test_damage_that_hides_what_is_needed_stops_it(registry, publish, flip, collected):
    publish(), publish(files={"b.json": b"other"})
    digest = registry.resolve("support@1").digest.removeprefix("sha256:")
    flip(registry.home / "manifests" / "sha256" / digest[:2] / digest)
    before = blobs(registry)
    with pytest.raises(IntegrityError, match="nothing is collected") as caught:
        collected()
    assert "ahl repair" in caught.value.hint
    assert blobs(registry) == before
    assert registry.remove("support@1", dry_run=True).size is None
    registry.remove("support@1")  # the way out when nothing can mend it
    collected()
    assert blobs(registry) == {b"other"}


def test_what_is_needed_after_all_comes_back(registry, publish):
    first, second = publish(files={"a.json": b"x"}), publish(files={"a.json": b"x", "b": b"y"})
    registry.remove(str(first)), registry.remove(str(second))
    registry.gc(grace=0)
    (ref,) = registry.home.glob("refs/support/v/00000001")
    for path in registry.home.glob("quarantine/*/manifest-*"):  # one that no lock kept out
        sha256 = path.name.removeprefix("manifest-")
        if f"sha256:{sha256}" == first.digest:
            path.rename(registry.home / "manifests" / "sha256" / sha256[:2] / sha256)
    line = ref.read_bytes().removeprefix(b"removed ")
    ref.unlink()
    ref.write_bytes(line)
    assert registry.gc(grace=0).restored.files == 1
    assert registry.read_file(registry.resolve("support@1"), "a.json") == b"x"


def test_a_publish_waits_for_the_sweep_and_the_sweep_for_publishes(registry, publish):
    publish()
    order = []
    with PublishLock(registry._layout).shared():
        sweep = threading.Thread(target=lambda: (registry.gc(grace=0), order.append("swept")))
        sweep.start()
        sweep.join(0.2)
        assert sweep.is_alive()
        order.append("published")
    sweep.join()
    assert order == ["published", "swept"]


def test_leftovers_of_killed_runs_go_after_a_day(registry, publish):
    publish()
    for name, days in (("old", 2), ("new", 0)):
        path = registry.home / "tmp" / name
        path.write_bytes(b"half")
        os.utime(path, (time.time() - days * DAY,) * 2)
    assert registry.fsck().temporary.files == 2
    assert registry.gc().leftovers.files == 1
    assert [path.name for path in (registry.home / "tmp").iterdir()] == ["new"]


def _refuse(source: str, target: str) -> None:
    if "quarantine" not in target and "blobs" not in target:
        raise PermissionError(1, "not on this file system")


def test_a_link_record_that_cannot_be_read_stops_it(registry, publish, collected):
    publish()
    (registry.home / "links").mkdir()
    (registry.home / "links" / "x").write_text(json.dumps({"path": 1}))
    with pytest.raises(IntegrityError, match="links/x"):
        collected()


def test_a_stamp_of_a_file_that_is_gone_goes_too(registry, publish, collected, monkeypatch):
    monkeypatch.setattr("adapterhub_lite_registry.stamps.SETTLED_NS", 0)
    registry.path(publish())
    assert list(Path(registry.home / "verified").iterdir())
    registry.remove("support")
    collected()
    collected()
    assert not list(Path(registry.home / "verified").iterdir())
