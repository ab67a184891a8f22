"""Disks that refuse: the error says so, nothing is half done, and the same works afterwards."""

import errno
import os
import random
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite_registry import (
    Config,
    FileIO,
    ManifestDraft,
    Registry,
    RegistryError,
    StorageError,
)
from adapterhub_lite_registry.io import StrPath
from tests.stress.life import SCORES, Everything
from tests.stress.stories import from_elsewhere
from tests.stress.workers import fork

LONG = os.environ.get("STRESS") == "long"
CODES = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
SPACE = {"create", "append", "write", "fsync", "fsync_dir", "link", "symlink", "rename", "mkdir"}
"""Calls that want space, which a full disk refuses; one that fails refuses any."""
DRAFT = ManifestDraft(kind="adapter")
FRESH: dict[str, bytes | Path] = {
    "a.json": b"fresh",
    "b.json": b"{}",
    "model.safetensors": b"x" * 999,
}
SPOILT = sha256(b"second").hexdigest()


class RefusingIO(FileIO):
    """Refuses one call, the ``nth`` of those that may be refused."""

    def __init__(self, code: int) -> None:
        self.code, self.nth, self.calls, self.refused = code, 0, 0, ""

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name == "close" or not callable(found):
            return found
        if name in SPACE or super().__getattribute__("code") == errno.EIO:
            self.calls += 1
            if self.calls == self.nth:
                self.refused = name
                raise OSError(self.code, os.strerror(self.code))
        return found


@dataclass(frozen=True)
class Act:
    """Something that is done to a registry, and how one sees that it was."""

    do: Callable[[Registry], object]
    is_done: Callable[[Registry], bool]


def take_over(registry: Registry) -> None:
    entry, data = from_elsewhere()
    registry.exchange.write(entry.sha256, entry.size, [b"far"])
    registry.exchange.write_manifest(data)
    registry.exchange.adopt(data, 5)


def mend(registry: Registry) -> None:
    remote = Everything()
    remote.bytes = {SPOILT: b"second"}
    registry.repair(sources=[("remote", remote)])


def reads(registry: Registry, ref: str, path: str, content: bytes) -> bool:
    try:
        return registry.read_file(registry.resolve(ref), path) == content
    except RegistryError:
        return False


def now(registry: Registry) -> int | None:
    return registry.aliases("support").get("prod")


ACTS = {
    "publish": Act(
        lambda registry: registry.publish("support", FRESH, DRAFT),
        lambda registry: reads(registry, "support", "a.json", b"fresh"),
    ),
    "publish under a new name": Act(
        lambda registry: registry.publish("new", FRESH, DRAFT),
        lambda registry: reads(registry, "new@1", "a.json", b"fresh"),
    ),
    "move an alias": Act(
        lambda registry: registry.set_alias("support", "prod", 1),
        lambda registry: now(registry) == 1,
    ),
    "remove an alias": Act(
        lambda registry: registry.remove_alias("support", "prod"),
        lambda registry: now(registry) is None,
    ),
    "roll back": Act(
        lambda registry: registry.rollback("support", "prod"),
        lambda registry: now(registry) == 2,
    ),
    "remove a version": Act(
        lambda registry: registry.remove("support@1"),
        lambda registry: 1 not in registry.versions("support"),
    ),
    "collect": Act(
        lambda registry: registry.gc(grace=0, quarantine=0),
        lambda registry: registry.fsck().unreferenced.files == 0,
    ),
    "repair": Act(mend, lambda registry: reads(registry, "support@2", "a.json", b"second")),
    "take over": Act(take_over, lambda registry: reads(registry, "support@5", "a", b"far")),
    "record an evaluation": Act(
        lambda registry: registry.evaluations.add(registry.resolve("support@3"), SCORES),
        lambda registry: bool(list(registry.home.glob("evaluations/*/*.json"))),
    ),
    "configure": Act(
        lambda registry: registry.configure(Config(quota_hard=10**9)),
        lambda registry: registry.config.quota_hard == 10**9,
    ),
    "open a version": Act(
        lambda registry: registry.path(registry.resolve("support@3")),
        lambda registry: bool(list(registry.home.glob("checkouts/*/a.json"))),
    ),
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry to copy: three versions, one damaged, an alias that moved, a loose file."""
    registry = Registry.open(tmp_path_factory.mktemp("kept") / "home")
    for number, content in enumerate((b"first", b"second", b"third"), start=1):
        registry.publish("support", {"a.json": content}, DRAFT)
        registry.set_alias("support", "prod", number)
    registry.publish("gone", {"a.json": b"gone"}, DRAFT)
    registry.remove("gone@1")
    blob = registry.home / "blobs" / "sha256" / SPOILT[:2] / SPOILT
    blob.chmod(0o644)
    blob.write_bytes(b"spoilt")
    for shard in registry.home.glob("*/sha256/*"):  # hundreds of them, and each would be copied
        if not any(shard.iterdir()):
            shard.rmdir()
    return registry.home


def refusals(act: Act, kept: Path, place: Path, code: int) -> Iterator[tuple[Path, RefusingIO]]:
    """Do it again and again, another call refused each time; yield what that left."""
    nth, io = 0, RefusingIO(code)
    while nth <= io.calls:
        home, nth = place / f"{code}-{nth}", nth + 1
        shutil.copytree(kept, home)
        io = RefusingIO(code)
        registry = Registry.open(home, create=False, io=io)
        io.calls, io.nth = 0, nth
        with suppress(StorageError):
            act.do(registry)
        yield home, io
        shutil.rmtree(home)


@pytest.mark.parametrize("name", ACTS)
def test_whatever_the_disk_refuses_nothing_is_half_done(
    name: str, kept: Path, tmp_path: Path
) -> None:
    act, tried = ACTS[name], 0
    for code in CODES if LONG else random.Random(name).sample(CODES, 1):
        for home, io in refusals(act, kept, tmp_path, code):
            tried += bool(io.refused)
            registry = Registry.open(home, create=False)
            problems = registry.fsck(read_data=True).problems
            left = {problem for problem in problems if problem.kind != "index"}  # disposable
            assert {problem.sha256 for problem in left} <= {SPOILT}, (left, io.refused)
            if io.refused not in ("unlink", "rmdir", "listdir"):  # then it could not be swept
                assert list((home / "tmp").iterdir()) == []
            if not act.is_done(registry):
                act.do(registry)
            assert act.is_done(registry), (io.refused, io.nth)
    assert tried > 2


def test_a_file_that_may_not_be_so_large(tmp_path: Path) -> None:
    home = tmp_path / "home"
    Registry.open(home)

    def publish_too_much() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, resource.RLIM_INFINITY))
        registry = Registry.open(home, create=False)
        with pytest.raises(StorageError, match="file too large"):
            registry.publish("support", {"a.json": bytes(2**20)}, DRAFT)

    child = fork(publish_too_much, tmp_path / "error")
    assert os.waitpid(child, 0)[1] == 0, [path.read_text() for path in tmp_path.glob("error.*")]
    registry = Registry.open(home, create=False)
    assert registry.names() == []
    assert list((home / "tmp").iterdir()) == []
    registry.publish("support", {"a.json": bytes(2**20)}, DRAFT)
    assert registry.fsck(read_data=True).problems == ()


class HopefulIO(FileIO):
    """Believes that there is always room."""

    def free(self, path: StrPath) -> int:
        return 2**40


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of 4 MB; whoever may not mount one does without the test."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def publish_for_ever(registry: Registry, rng: random.Random) -> None:
    while True:
        registry.publish("support", {"a.json": rng.randbytes(2**20)}, DRAFT)


@pytest.mark.parametrize("io", [FileIO(), HopefulIO()], ids=["told", "hopeful"])
def test_a_disk_that_is_full(small: Path, io: FileIO) -> None:
    rng = random.Random(3)
    registry = Registry.open(small / "home", io=io)
    with pytest.raises(StorageError):
        publish_for_ever(registry, rng)
    versions = registry.versions("support")
    assert 1 < len(versions) < 5
    assert list((registry.home / "tmp").iterdir()) == []
    assert registry.fsck(read_data=True).problems == ()
    registry.remove("support@1")
    registry.gc(grace=0, quarantine=0)
    registry.publish("support", {"a.json": rng.randbytes(2**20)}, DRAFT)
    assert registry.fsck(read_data=True).problems == ()
