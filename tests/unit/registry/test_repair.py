"""Damage is mended by digest, from wherever the bytes are; else it is marked, and stays listed."""

import errno
import random
import shutil
from collections.abc import Iterable
from hashlib import sha256

import pytest

from adapterhub_lite_registry import FileIO, IntegrityError, NotFoundError, Registry
from adapterhub_lite_registry.io import StrPath


class Copy:
    """A remote that is another registry; ``lies`` makes it send something else."""

    def __init__(self, registry: Registry, lies: bool = False) -> None:
        self.registry = registry
        self.lies = lies

    def read(self, sha256: str) -> Iterable[bytes]:
        return [b"lies"] if self.lies else self.registry.exchange.read(sha256)

    def read_manifest(self, digest: str) -> Iterable[bytes]:
        return [b"lies" if self.lies else self.registry.exchange.read_manifest(digest)]

    def resolve(self, name: str, number: int) -> str | None:
        return self.registry.resolve(f"{name}@{number}").digest


@pytest.fixture
def copy(registry, tmp_path) -> Copy:
    """A second registry with the same versions."""
    shutil.copytree(registry.home, tmp_path / "copy")
    return Copy(Registry.open(tmp_path / "copy"))


@pytest.fixture
def version(publish):
    return publish(alias="prod")


def stored(registry, kind):
    return sorted(path for path in (registry.home / kind).rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", ["blobs", "manifests", "refs/support/v", "refs/support/alias"])
@pytest.mark.parametrize("how", ["flip", "cut", "swap", "gone"])
def test_any_damage_is_found_and_mended(registry, version, copy, flip, kind, how):
    path = stored(registry, kind)[0]
    data = path.read_bytes()
    if how == "gone" and kind.startswith("refs"):
        return  # a reference that is not there is a version that is not there
    path.unlink()
    if how != "gone":
        path.write_bytes(
            {"flip": data[:-1] + b"?", "cut": data[:-1], "swap": b"x" * len(data)}[how]
        )
    assert registry.fsck(read_data=True).problems
    done = registry.repair(sources=[("copy", copy)])
    assert done
    assert all(outcome.mended for outcome in done)
    assert path.read_bytes() == data
    assert registry.fsck(read_data=True).problems == ()
    assert registry.damaged() == {}
    registry.path(registry.resolve("support@prod"))


def test_bit_rot_of_many_files_is_found_and_mended(registry, publish, copy, flip):
    for number in range(6):
        publish(files={"a.json": b"%d" % number * 50, "b.json": b"{}"})
    there = Copy(Registry.open(copy.registry.home))
    for number in range(6):
        there.registry.publish(
            "support",
            {"a.json": b"%d" % number * 50, "b.json": b"{}"},
            registry.resolve(f"support@{number + 1}").manifest.model_copy(),
        )
    rng = random.Random(3)
    for _ in range(30):
        path = rng.choice(stored(registry, "blobs"))
        flip(path, rng.randrange(path.stat().st_size))
        (problem,) = registry.fsck(read_data=True).problems
        assert path.name == problem.sha256
        (outcome,) = registry.repair(sources=[("copy", there)])
        assert outcome.mended
        assert sha256(path.read_bytes()).hexdigest() == path.name


def test_what_nobody_has_is_marked_and_refused_with_the_way_out(registry, version, flip):
    blob = stored(registry, "blobs")[0]
    flip(blob)
    spoilt = blob.read_bytes()
    (outcome,) = registry.repair()
    assert not outcome.mended
    assert not blob.exists()
    (kept,) = registry.home.glob("quarantine/*/damaged-blob-*")
    assert kept.read_bytes() == spoilt
    assert "support@1" in registry.damaged()
    assert [str(entry) for entry in registry.search()] == ["support@1"]
    with pytest.raises(IntegrityError) as caught:
        registry.path(version)
    assert "ahl repair support@1" in caught.value.hint
    assert not registry.repair()[0].mended  # again: nothing else happens
    assert "support@1" in registry.damaged()


def test_the_same_bytes_published_again_take_the_mark_away(registry, version, publish, flip):
    flip(stored(registry, "blobs")[0])
    registry.repair()
    publish("other")
    assert registry.damaged() == {}
    registry.path(version)
    assert registry.repair() == []


def test_a_remote_that_lies_mends_nothing(registry, version, copy, flip):
    flip(stored(registry, "blobs")[0])
    flip(stored(registry, "manifests")[0])
    copy.lies = True
    assert not any(outcome.mended for outcome in registry.repair(sources=[("liar", copy)]))
    copy.lies = False
    assert all(
        outcome.mended or outcome.problem.kind == "other"
        for outcome in registry.repair(sources=[("copy", copy)])
    )
    assert registry.fsck(read_data=True).problems == ()


def test_a_remote_without_it_is_passed_over(registry, version, copy, tmp_path, flip):
    flip(stored(registry, "blobs")[0])
    empty = Copy(Registry.open(tmp_path / "empty"))
    (outcome,) = registry.repair(sources=[("empty", empty), ("copy", copy)])
    assert outcome.how == "mended from copy"


def test_quarantine_is_asked_first(registry, publish):
    publish(files={"a.json": b"x"})
    path = stored(registry, "blobs")[0]
    registry.remove("support@1")
    registry.gc(grace=0)
    again = publish(files={"a.json": b"x"})
    path.unlink()
    (outcome,) = registry.repair()
    assert outcome.how == "mended from quarantine"
    assert registry.read_file(again, "a.json") == b"x"


def test_an_alias_mends_its_reference_and_the_log_an_alias(registry, version):
    (reference,) = stored(registry, "refs/support/v")
    line = reference.read_bytes()
    reference.unlink()
    reference.write_bytes(b"rubbish")
    assert registry.repair()[0].how.startswith("mended from the alias")
    assert reference.read_bytes() == line
    (alias,) = stored(registry, "refs/support/alias")
    alias.write_bytes(b"rubbish")
    assert [outcome.mended for outcome in registry.repair()] == [True]
    assert registry.aliases("support") == {"prod": 1}


def test_what_no_version_needs_is_put_away_without_a_mark(registry, version, flip):
    registry.remove_alias("support", "prod")
    registry.remove("support@1")
    flip(stored(registry, "blobs")[0])
    registry.repair()
    assert registry.damaged() == {}
    assert registry.fsck(read_data=True).problems == ()


def test_one_version_alone(registry, publish, copy, flip):
    publish(files={"a.json": b"one"}), publish(files={"a.json": b"two"})
    for path in stored(registry, "blobs"):
        flip(path)
    (outcome,) = registry.repair("support@2")
    assert outcome.problem.versions == ("support@2",)
    assert registry.damaged().keys() == {"support@2"}
    with pytest.raises(NotFoundError):
        registry.repair("support@9")


def flip_digest(registry, number):
    """Damage the digest in a reference so that it still looks like one."""
    reference = registry.home / "refs" / "support" / "v" / f"{number:08d}"
    line = reference.read_bytes()
    at = line.index(b":") + 1
    reference.unlink()
    reference.write_bytes(
        line[:at] + (b"1" if line[at : at + 1] == b"0" else b"0") + line[at + 1 :]
    )
    return reference, line


def test_a_digest_that_is_damaged_is_mended_by_who_knows_it(registry, version, copy):
    registry.remove_alias("support", "prod")
    reference, line = flip_digest(registry, 1)
    (outcome,) = registry.repair()
    assert not outcome.mended
    assert "support@1" in registry.damaged()
    (outcome,) = registry.repair(sources=[("copy", copy)])
    assert outcome.how == "the reference was damaged: mended from copy"
    assert reference.read_bytes() == line
    assert registry.damaged() == {}
    assert registry.fsck(read_data=True).problems == ()


def test_another_version_of_that_number_elsewhere_is_not_taken_for_it(registry, publish, tmp_path):
    publish(files={"a.json": b"ours"})
    other = Registry.open(tmp_path / "other")
    other.publish("support", {"a.json": b"theirs"}, registry.resolve("support").manifest)
    reference, _ = flip_digest(registry, 1)
    damaged = reference.read_bytes()
    (outcome,) = registry.repair(sources=[("other", Copy(other))])
    assert not outcome.mended
    assert reference.read_bytes() == damaged


def test_a_damaged_alias_makes_no_version_another(registry, publish):
    """Its number is one bit off, and the version of that number is damaged too."""
    publish(files={"a.json": b"one"}), publish(files={"a.json": b"two"}, alias="prod")
    publish(files={"a.json": b"three"})
    alias = registry.home / "refs" / "support" / "alias" / "prod"
    alias.write_bytes(alias.read_bytes().replace(b"@2", b"@3"))
    third = registry.home / "refs" / "support" / "v" / "00000003"
    third.unlink()
    third.write_bytes(b"rubbish")
    registry.repair()
    assert third.read_bytes() == b"rubbish"
    assert registry.aliases("support") == {"prod": 2}


def test_an_alias_that_went_astray_goes_back_to_where_its_log_says(registry, version, publish):
    publish()
    astray = registry.home / "refs" / "support" / "alias" / "prod"
    astray.write_bytes((registry.home / "refs" / "support" / "v" / "00000002").read_bytes())
    (outcome,) = registry.repair()
    assert outcome.mended
    assert registry.aliases("support") == {"prod": 1}


def test_what_reads_well_again_is_left_where_it_is(registry, version, monkeypatch):
    blob = stored(registry, "blobs")[0]
    open_file = FileIO.open
    refused = []

    def once(self: FileIO, path: StrPath) -> int:
        if str(path) == str(blob) and not refused:
            refused.append(path)
            raise OSError(errno.EIO, "input/output error")
        return open_file(self, path)

    monkeypatch.setattr(FileIO, "open", once)
    (outcome,) = registry.repair()
    assert (outcome.mended, outcome.how[:18]) == (True, "it reads well now:")
    assert blob.exists()
    assert registry.damaged() == {}
