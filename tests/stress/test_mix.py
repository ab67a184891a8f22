"""Many processes publish, move aliases, read, remove and collect at once: nobody loses anything."""

import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from adapterhub_lite_registry import (
    AliasConflictError,
    IntegrityError,
    InUseError,
    ManifestDraft,
    NotFoundError,
    Registry,
)
from tests.stress.workers import fork, say

LONG = os.environ.get("STRESS") == "long"
PROCESSES = 16
SECONDS = float(os.environ.get("STRESS_SECONDS", 600 if LONG else 15))
NAMES = ("alpha", "beta", "gamma")
CONTENTS = [f"{number}".encode() * 500 for number in range(30)]
DRAFT = ManifestDraft(kind="adapter")
NEVER = 1e9


class User:
    """One process: does now this, now that, until the time is over."""

    def __init__(self, home: Path, log: Path, seed: int) -> None:
        self.registry = Registry.open(home, create=False)
        self.log = log
        self.rng = random.Random(seed)
        self.done = 0

    def live(self) -> None:
        deadline = time.monotonic() + SECONDS
        acts: list[Callable[[str], None]] = [
            self.publish, self.publish, self.move, self.read, self.read, self.remove, self.collect,
            self.roll_back,
        ]  # fmt: skip
        while time.monotonic() < deadline:
            # somebody else may be faster
            with suppress(NotFoundError, InUseError, AliasConflictError):
                self.rng.choice(acts)(self.rng.choice(NAMES))
            self.done += 1
        say(self.log, f"done {self.done}")

    def publish(self, name: str) -> None:
        """Publish bytes of which others publish, remove and collect the same."""
        files: dict[str, bytes | Path] = {
            f"{part}.json": self.rng.choice(CONTENTS) for part in range(3)
        }
        version = self.registry.publish(name, files, DRAFT)
        say(self.log, f"published {version} {version.digest}")
        self.read_all(str(version))

    def move(self, name: str) -> None:
        before = self.registry.aliases(name).get("prod")
        number = self.rng.choice(self.registry.versions(name))
        self.registry.set_alias(name, "prod", number, expected=before)

    def roll_back(self, name: str) -> None:
        self.registry.rollback(name, "prod")

    def read(self, name: str) -> None:
        self.read_all(self.rng.choice([name, f"{name}@prod"]))

    def read_all(self, ref: str) -> None:
        version = self.registry.resolve(ref)
        try:
            for entry in version.manifest.files:
                self.registry.read_file(version, entry.path)
            self.registry.path(version)
        except IntegrityError:
            self.registry.resolve(str(version))  # unless it was removed meanwhile,
            raise  # somebody took its bytes

    def remove(self, name: str) -> None:
        numbers = self.registry.versions(name)
        if len(numbers) > 5:
            ref = f"{name}@{self.rng.choice(numbers)}"
            say(self.log, f"leaving {ref}")
            self.registry.remove(ref)

    def collect(self, name: str) -> None:
        if self.rng.random() < 0.3:
            self.registry.gc(grace=0, quarantine=self.rng.choice((0, NEVER)))


def test_many_processes_at_once(tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "log"
    Registry.open(home)
    children = [
        fork(lambda seed=seed: User(home, log, seed).live(), log) for seed in range(PROCESSES)
    ]
    codes = [os.waitpid(child, 0)[1] for child in children]
    faults = "\n".join(path.read_text() for path in tmp_path.glob("log.*"))
    assert codes == [0] * PROCESSES, faults
    lines = [line.split() for line in log.read_text().splitlines()]
    published = [words[1:] for words in lines if words[0] == "published"]
    leaving = {words[1] for words in lines if words[0] == "leaving"}
    assert len({ref for ref, _ in published}) == len(published) > 10 * PROCESSES
    registry = Registry.open(home, create=False)
    for ref, digest in published:
        if ref not in leaving:
            assert registry.resolve(ref).digest == digest
    assert registry.fsck(read_data=True).problems == ()
    done = sum(int(words[1]) for words in lines if words[0] == "done")
    print(f"{done:,} acts of {PROCESSES} processes, {len(published):,} versions published")
