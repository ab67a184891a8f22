"""Damage is mended by digest, from wherever the bytes are; else it is marked, and stays listed."""

import random
import shutil
from collections.abc import Iterable
from hashlib import sha256

import pytest

from adapterhub_lite_registry import IntegrityError, NotFoundError, Registry


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
