"""What publishing promises."""

import hashlib
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from adapterhub_lite_registry import (
    InvalidManifestError,
    ManifestDraft,
    Registry,
    RegistryError,
    Source,
    StorageError,
)

DRAFT = ManifestDraft(kind="adapter")


def visible(home: Path) -> list[str]:
    """Everything that a reader could come across, and all that lies in tmp/."""
    paths = [*(home / "refs").rglob("*"), *(home / "tmp").rglob("*")]
    return sorted(str(path) for path in paths if path.is_file())


def test_a_version_says_what_it_is(registry, publish, files):
    version = publish(task="text-classification", seed=7)
    assert str(version) == "support@1"
    assert version.manifest.name == "support"
    assert version.manifest.task == "text-classification"
    assert version.manifest.size == sum(len(data) for data in files.values())
    entry = version.manifest.file("adapter_model.safetensors")
    assert entry.sha256 == hashlib.sha256(files["adapter_model.safetensors"]).hexdigest()
    assert (entry.role, entry.media_type) == ("weights", "application/vnd.safetensors")
    assert registry.resolve("support") == version


def test_numbers_go_up_by_one_per_name(registry, publish):
    assert [publish().number for _ in range(3)] == [1, 2, 3]
    assert publish("other").number == 1
    assert registry.versions("support") == [1, 2, 3]
    assert registry.names() == ["other", "support"]


def test_a_version_is_found_by_number_alias_and_digest(registry, publish):
    first, second = publish(), publish(alias="prod")
    for ref in ("support", "support@2", "support@prod", f"support@{second.digest}"):
        assert registry.resolve(ref).digest == second.digest
    assert registry.resolve("support@1").digest == first.digest
    assert registry.resolve("support@prod").aliases == ("prod",)


def test_files_may_come_from_paths_bytes_and_sources(registry, tmp_path):
    large = os.urandom(3_500_000)
    (tmp_path / "large.safetensors").write_bytes(large)
    version = registry.publish(
        "mixed",
        {
            "large.safetensors": tmp_path / "large.safetensors",
            "tokenizer.json": b"{}",
            "notes": Source(b"hello", role="notes", media_type="text/plain"),
        },
        DRAFT,
    )
    assert registry.read_file(version, "large.safetensors") == large
    assert [entry.role for entry in version.manifest.files] == ["weights", "notes", "tokenizer"]


def test_a_file_that_is_given_over_becomes_the_stored_one(registry, tmp_path):
    sha256 = hashlib.sha256(b"weights").hexdigest()
    blob = registry.home / "blobs" / "sha256" / sha256[:2] / sha256
    with registry.scratch() as folder:
        made = folder / "made.safetensors"
        made.write_bytes(b"weights")
        inode = made.stat().st_ino
        given = Source(made, role="weights", sha256=sha256)
        registry.publish("support", {"model.safetensors": given}, DRAFT)
        assert blob.stat().st_ino == inode
        again = folder / "again"
        again.write_bytes(b"weights")
        registry.publish("support", {"model.safetensors": Source(again, sha256=sha256)}, DRAFT)
        assert blob.stat().st_ino == inode
    assert list((registry.home / "tmp").iterdir()) == []
    assert registry.read_file(registry.resolve("support"), "model.safetensors") == b"weights"
    assert registry.fsck(read_data=True).problems == ()


def test_a_file_that_is_given_over_takes_the_place_of_a_damaged_one(registry, publish):
    publish(files={"model.safetensors": b"weights"})
    sha256 = hashlib.sha256(b"weights").hexdigest()
    blob = registry.home / "blobs" / "sha256" / sha256[:2] / sha256
    blob.chmod(0o644)
    blob.write_bytes(b"damaged")
    with registry.scratch() as folder:
        (folder / "a").write_bytes(b"weights")
        registry.publish("support", {"a": Source(folder / "a", sha256=sha256)}, DRAFT)
    assert registry.fsck(read_data=True).problems == ()


def test_only_a_plain_file_of_a_scratch_folder_can_be_given_over(registry, tmp_path):
    outside = tmp_path / "outside"
    outside.write_bytes(b"1")
    with registry.scratch() as folder:
        (folder / "link").symlink_to(outside)
        for path in (outside, folder / "link"):
            with pytest.raises(InvalidManifestError, match="no regular file of a scratch folder"):
                registry.publish("support", {"a": Source(path, sha256="0" * 64)}, DRAFT)
    assert registry.names() == []


def test_the_same_bytes_are_stored_once(registry, publish):
    publish()
    publish("other")
    stored = [path for path in (registry.home / "blobs").rglob("*") if path.is_file()]
    assert len(stored) == 3


def test_a_damaged_blob_is_not_adopted_but_replaced(registry, publish, flip):
    version = publish()
    for blob in (registry.home / "blobs").rglob("*"):
        if blob.is_file():
            flip(blob)
    again = publish("other")
    for entry in version.manifest.files:
        assert registry.read_file(again, entry.path) == registry.read_file(version, entry.path)
    assert registry.fsck(read_data=True).problems == ()


def test_syncs_of_three_small_files_to_an_existing_name(tmp_path, disks, files):
    io = disks.Counting()
    registry = Registry.open(tmp_path / "home", io=io)
    registry.publish("support", {"x.json": b"x"}, DRAFT)
    before, dirs_before = io.syncs, len(io.dir_syncs)
    version = registry.publish("support", files, DRAFT)
    assert io.syncs - before <= 11
    synced = io.dir_syncs[dirs_before:]
    shards = {f"blobs/sha256/{entry.sha256[:2]}" for entry in version.manifest.files}
    manifest = f"manifests/sha256/{version.digest.removeprefix('sha256:')[:2]}"
    for folder in (*shards, manifest, "refs/support/v"):
        assert synced.count(f"{registry.home}/{folder}") == 1
    assert synced[-1] == f"{registry.home}/refs/support/v", "the commit comes last"


def test_a_new_name_has_its_parents_synced(tmp_path, disks):
    io = disks.Counting()
    registry = Registry.open(tmp_path / "home", io=io)
    registry.publish("support", {"x.json": b"x"}, DRAFT)
    refs = registry.home / "refs"
    assert {str(refs), str(refs / "support"), str(refs / "support" / "v")} <= set(io.dir_syncs)


def test_who_reuses_a_blob_syncs_its_folder_too(tmp_path, disks, files):
    io = disks.Counting()
    registry = Registry.open(tmp_path / "home", io=io)
    registry.publish("support", files, DRAFT)
    before = len(io.dir_syncs)
    version = registry.publish("support", files, DRAFT)
    for entry in version.manifest.files:
        shard = f"{registry.home}/blobs/sha256/{entry.sha256[:2]}"
        assert shard in io.dir_syncs[before:]


def test_a_disk_that_fails_anywhere_leaves_nothing_behind(tmp_path, disks, files):
    home = tmp_path / "home"
    Registry.open(home).publish("support", {"x.json": b"x"}, DRAFT)
    before = visible(home)
    fail_at = 0
    while True:
        fail_at += 1
        io = disks.Failing(10**9)
        registry = Registry.open(home, io=io)
        io.fail_at = io.calls + fail_at
        fresh = {path: data + b"%d" % fail_at for path, data in files.items()}
        try:
            version = registry.publish("support", fresh, DRAFT)
        except StorageError as error:
            told = error
        else:
            break
        assert "\n" not in str(told)
        assert "space" in told.hint
        assert visible(home) == before
    assert fail_at > 20
    assert version.number == 2
    assert Registry.open(home).fsck(read_data=True).problems == ()


def test_a_new_name_survives_a_failing_disk_as_well(tmp_path, disks, files):
    home = tmp_path / "home"
    Registry.open(home)
    for fail_at in range(1, 40):
        io = disks.Failing(10**9)
        registry = Registry.open(home, io=io)
        io.fail_at = io.calls + fail_at
        try:
            registry.publish(f"name-{fail_at}", files, DRAFT)
        except StorageError:
            assert registry.names() == []
        else:
            return
    pytest.fail("never got through")


def test_opening_survives_a_failing_disk(tmp_path, disks):
    home = tmp_path / "home"
    fail_at = 1
    while True:
        try:
            Registry.open(home, io=disks.Failing(fail_at))
        except StorageError:
            fail_at += 37
            continue
        break
    assert Registry.open(home).names() == []


def test_without_permission_nothing_is_published_but_all_is_read(registry, publish, disks, files):
    publish(alias="prod", metrics=[{"name": "accuracy", "value": 0.9}])
    reader = Registry.open(registry.home, io=disks.ReadOnly())
    with pytest.raises(StorageError) as caught:
        reader.publish("support", files, DRAFT)
    assert "owns" in caught.value.hint
    assert reader.resolve("support@prod").number == 1
    assert reader.read_file(reader.resolve("support"), "adapter_config.json") == b'{"r": 8}'
    assert [str(entry) for entry in reader.search(metric="accuracy>0.5")] == ["support@1"]


@pytest.mark.parametrize("content", ["missing.json", "."])
def test_a_source_that_cannot_be_read(registry, tmp_path, content):
    with pytest.raises(RegistryError):
        registry.publish("support", {"a.json": tmp_path / content}, DRAFT)
    assert registry.names() == []
    assert visible(registry.home) == []


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"seed": 2**53}, "seed"),
        ({"hyperparameters": {"lr": float("nan")}}, "hyperparameters.lr"),
        ({"metrics": [{"name": "loss", "value": float("inf")}]}, "metrics.0.value"),
        ({"recipe": {"a": [1, {"b": -(2**60)}]}}, "recipe.a.1.b"),
    ],
)
def test_what_json_cannot_hold_is_refused_by_name(registry, publish, fields, named):
    with pytest.raises(InvalidManifestError, match=named):
        publish(**fields)
    assert registry.names() == []


def test_leftovers_of_killed_writers_are_swept(registry, publish):
    old, young = registry.home / "tmp" / "old", registry.home / "tmp" / "young"
    old.mkdir()
    (old / "part").write_bytes(b"x")
    young.write_bytes(b"x")
    two_days_ago = time.time() - 2 * 86400
    os.utime(old, (two_days_ago, two_days_ago))
    publish()
    assert not old.exists()
    assert young.exists()


def test_a_shard_that_went_missing_is_made_again(registry, publish):
    for shard in (registry.home / "blobs" / "sha256").iterdir():
        shard.rmdir()
    publish()
    assert registry.fsck(read_data=True).problems == ()


def _publish_many(home: Path, writer: int, count: int) -> list[int]:
    registry = Registry.open(home)
    return [
        registry.publish("race", {"a.json": b"%d %d" % (writer, turn)}, DRAFT).number
        for turn in range(count)
    ]


def test_processes_that_race_get_every_number_once(tmp_path):
    home = tmp_path / "home"
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        numbers = pool.starmap(_publish_many, [(home, writer, 10) for writer in range(4)])
        pool.close()
        pool.join()
    assert sorted(number for some in numbers for number in some) == list(range(1, 41))
    assert Registry.open(home).fsck(read_data=True).problems == ()
