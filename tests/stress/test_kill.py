"""Processes that are killed, at named points and anywhere, lose nothing that they acknowledged."""

import os
import random
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from adapterhub_lite_registry import (
    IntegrityError,
    ManifestDraft,
    NotFoundError,
    Registry,
    Version,
)
from tests.stress.workers import POINTS, MortalIO, fork, say

LONG = os.environ.get("STRESS") == "long"
KILLS = int(os.environ.get("STRESS_KILLS", 1000 if LONG else 130))
WRITERS = 4
ALIASES = ("prod", "next")
DRAFT = ManifestDraft(kind="adapter")


def work_until_killed(home: Path, log: Path, point: str, seed: int) -> None:
    """Publish, move, remove, collect and mend, and say what was done."""
    rng = random.Random(seed)
    nth = rng.randrange(1, 60 if point == "anywhere" else 3)
    registry = Registry.open(home, create=False, io=MortalIO(home, point, nth))
    name = rng.choice(("alpha", "beta"))
    while True:
        mine = [publish(registry, name, rng, log) for _ in range(3)]
        for alias in ALIASES:
            registry.set_alias(name, alias, mine[0].number)
        with suppress(NotFoundError):  # another writer was faster
            registry.remove_alias(name, rng.choice(ALIASES))
        leave(registry, mine[1], log)
        registry.gc(grace=0, quarantine=0)
        lose_one(registry, mine[2], log)


def publish(registry: Registry, name: str, rng: random.Random, log: Path) -> Version:
    content = rng.randbytes(8).hex().encode()
    files: dict[str, bytes | Path] = {"config.json": content, "model.safetensors": content * 99}
    version = registry.publish(name, files, DRAFT)
    say(log, f"published {version} {version.digest} {content.decode()}")
    return version


def leave(registry: Registry, version: Version, log: Path) -> None:
    say(log, f"leaving {version}")
    registry.remove(str(version))
    say(log, f"gone {version}")


def lose_one(registry: Registry, version: Version, log: Path) -> None:
    """Damage a file, have it marked or not, and publish it again, which mends it."""
    entry = version.manifest.files[0]
    blob = registry.home / "blobs" / "sha256" / entry.sha256[:2] / entry.sha256
    content = registry.read_file(version, entry.path)
    say(log, f"damaging {entry.sha256}")
    spoilt = registry.home / "tmp" / f"spoilt-{os.getpid()}"
    spoilt.write_bytes(b"x" * len(content))
    spoilt.rename(blob)
    if version.number % 2:
        registry.repair(str(version))
    registry.publish(version.name, {"again.json": content}, DRAFT)
    assert registry.read_file(version, entry.path) == content


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_process_loses_nothing(tmp_path: Path, point: str) -> None:
    home, log = tmp_path / "home", tmp_path / "log"
    Registry.open(home)
    log.touch()
    kills, seed = 0, 0
    running: set[int] = set()
    try:
        while kills < KILLS / len(POINTS):
            while len(running) < WRITERS:
                seed += 1
                running.add(fork(lambda s=seed: work_until_killed(home, log, point, s), log))
            child, status = os.wait()
            running.remove(child)
            assert os.WTERMSIG(status) == signal.SIGKILL, errors(log)
            kills += 1
            if kills % 20 == 0:
                check(home, log)
    finally:
        for child in running:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    check(home, log, alone=True)


def errors(log: Path) -> str:
    return "\n".join(path.read_text() for path in log.parent.glob("log.*"))


def said(log: Path, what: str) -> set[str]:
    """Return what was said of in lines that start with that word."""
    lines = (line.split() for line in log.read_text().splitlines())
    return {words[1] for words in lines if words[0] == what}


def check(home: Path, log: Path, *, alone: bool = False) -> None:
    """Compare with what was acknowledged; others may be at work unless ``alone``."""
    lines = [line.split() for line in log.read_text().splitlines() if line.startswith("published")]
    gone, asked = said(log, "gone"), said(log, "leaving")
    numbers = Counter(ref for _, ref, *_ in lines)
    assert max(numbers.values(), default=1) == 1, "a number was given twice"
    registry = Registry.open(home, create=False)
    for _, ref, digest, content in lines:
        if ref not in asked:
            check_one(registry, log, ref, digest, content.encode())
    for ref in gone:
        with pytest.raises(NotFoundError):
            registry.resolve(ref)
    if alone:
        problems = registry.fsck(read_data=True).problems
        spoilt = said(log, "damaging")
        assert [p for p in problems if p.sha256 not in spoilt] == [], "something is torn"


def check_one(registry: Registry, log: Path, ref: str, digest: str, content: bytes) -> None:
    """Look at a version; what was said meanwhile may excuse that it is gone, or damaged."""
    try:
        version = registry.resolve(ref)
    except NotFoundError:
        assert ref in said(log, "leaving"), ref
        return
    assert version.digest == digest
    try:
        assert registry.read_file(version, "config.json") == content
    except IntegrityError:
        entry = version.manifest.file("config.json")
        assert entry is not None
        assert entry.sha256 in said(log, "damaging"), ref
