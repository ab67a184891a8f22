"""Bytes that rot: every flip, cut and swap is told of, refused on load, and mended by a remote.

Damage keeps a file's mtime, as a failing disk would, and hits files that were verified before.
"""

import os
import random
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.remotes import push_version
from adapterhub_lite.remotes.opening import opened
from adapterhub_lite_registry import (
    IntegrityError,
    ManifestDraft,
    Outcome,
    Problem,
    Registry,
    Version,
)
from adapterhub_lite_registry.stamps import SETTLED_NS

LONG = os.environ.get("STRESS") == "long"
DAMAGES = int(os.environ.get("STRESS_DAMAGES", 10_000 if LONG else 150))
AT_ONCE = 12
NAMES = ("alpha", "beta", "gamma")
CATALOGUE = get_catalogue(first_party_only=True)
KINDS = ("blobs", "manifests", "refs/*/v", "refs/*/alias")
"""What is damaged; what is swapped is of one kind."""


class Rot:
    """A registry of several versions, what its files were, and the remote that has them too."""

    def __init__(self, place: Path) -> None:
        self.rng = random.Random(5)
        self.registry = Registry.open(place / "home")
        self.remote = f"file:{place}/remote"
        for name in NAMES:
            for number in range(1, 5):
                version = self._publish(name, number)
                push_version(str(version), self.remote, self.registry, CATALOGUE)
            self.registry.set_alias(name, "prod", 4)
            self.registry.set_alias(name, "next", 2)
        self.versions = {
            ref: self.registry.resolve(ref)
            for ref in (f"{name}@{number}" for name in NAMES for number in range(1, 5))
        }
        self.files = {kind: sorted(self._stored(kind)) for kind in KINDS}
        self.good = {path: path.read_bytes() for paths in self.files.values() for path in paths}
        self.done = self.mended = 0

    def _publish(self, name: str, number: int) -> Version:
        files: dict[str, bytes | Path] = {
            "adapter_model.safetensors": self.rng.randbytes(self.rng.choice((100, 5_000, 70_000))),
            "adapter_config.json": b'{"r": %d}' % number,
            "tokenizer.json": b"{}" * 500,
        }
        draft = ManifestDraft(kind="adapter", description=f"{name} {number}")
        return self.registry.publish(name, files, draft)

    def _stored(self, kind: str) -> Iterator[Path]:
        for folder in self.registry.home.glob(kind):
            yield from (path for path in folder.rglob("*") if path.is_file())

    def damage(self) -> set[Path]:
        """Do some harm; return the files that are no longer what they were."""
        for _ in range(self.rng.randrange(1, AT_ONCE + 1)):
            paths = self.files[self.rng.choice(KINDS)]
            path, other = self.rng.sample(paths, 2)
            data, others = path.read_bytes(), other.read_bytes()
            match self.rng.randrange(5):
                case 0 | 1 if data:
                    spoilt = bytearray(data)
                    spoilt[self.rng.randrange(len(data))] ^= 1 << self.rng.randrange(8)
                    self._write(path, bytes(spoilt))
                case 2:
                    self._write(path, data[: self.rng.randrange(len(data) + 1)])
                case 3:
                    self._write(path, others)
                    self._write(other, data)
                case _:
                    self._write(path, others)
        return {path for path, data in self.good.items() if path.read_bytes() != data}

    def _write(self, path: Path, data: bytes) -> None:
        """Put bytes into a file, or another file in its place, with the times of the first."""
        before = path.stat()
        target = path if self.rng.random() < 0.7 else path.with_suffix(".new")
        path.chmod(0o644)
        target.write_bytes(data)
        os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
        target.rename(path)

    def _put_back(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        path.write_bytes(self.good[path])
        shutil.rmtree(self.registry.home / "damaged", ignore_errors=True)

    def check_told(self, damaged: set[Path]) -> None:
        """Fail unless a check names every damaged file, and no version that has none."""
        problems = self.registry.fsck(read_data=True).problems
        named = {ref for problem in problems for ref in problem.versions}
        assert damaged <= self.told_of(problems)
        assert all(self.parts(ref) & damaged for ref in named), "a version is told of, and is whole"

    def told_of(self, problems: Iterable[Problem]) -> set[Path]:
        """Return the files that problems name, and the references of the versions that they name.

        A digest that is damaged may look like one: then a manifest is missing that never was.
        """
        named = {ref for problem in problems for ref in problem.versions}
        paths = {self.registry.home / problem.path for problem in problems}
        return paths | {self.reference(ref) for ref in named}

    def reference(self, ref: str) -> Path:
        """Return the file that says which manifest a version is."""
        name, _, number = ref.partition("@")
        return self.registry.home / "refs" / name / "v" / f"{int(number):08d}"

    def parts(self, ref: str) -> set[Path]:
        """Return the files that a version rests on."""
        version, home = self.versions[ref], self.registry.home
        manifest = version.digest.removeprefix("sha256:")
        blobs = {entry.sha256 for entry in version.manifest.files}
        return {
            self.reference(ref),
            home / "manifests" / "sha256" / manifest[:2] / manifest,
            *(home / "blobs" / "sha256" / blob[:2] / blob for blob in blobs),
        }

    def check_loads(self, damaged: set[Path]) -> None:
        """Fail where a version loads with other bytes than it was published with."""
        for ref, version in self.versions.items():
            hit = self.parts(ref) & damaged
            try:
                self.load(self.registry.resolve(ref))
            except IntegrityError:
                assert hit, f"{ref} is refused, and nothing of it is damaged"
                continue
            assert all("blobs" in path.parts for path in hit), f"{ref} loads"
            for entry in version.manifest.files:  # a view may hold the good file that was replaced
                blob = self.registry.home / "blobs" / "sha256" / entry.sha256[:2] / entry.sha256
                if blob in damaged:
                    with pytest.raises(IntegrityError):
                        self.registry.read_file(version, entry.path)

    def load(self, version: Version) -> None:
        """Load as a program would; fail for other bytes than were published."""
        folder = self.registry.path(version)
        for entry in version.manifest.files:
            blob = self.registry.home / "blobs" / "sha256" / entry.sha256[:2] / entry.sha256
            assert (folder / entry.path).read_bytes() == self.good[blob], "wrong bytes"

    def repair_alone(self) -> None:
        """Repair without a remote: what is not mended is marked, and no version is lost."""
        for outcome in self.registry.repair():
            if not outcome.mended and outcome.problem.kind in ("blob", "manifest"):
                assert set(outcome.problem.versions) <= self.registry.damaged().keys()
        for name in NAMES:
            assert len(list((self.registry.home / "refs" / name / "v").iterdir())) == 4

    def repair(self, damaged: set[Path]) -> None:
        """Repair from the remote, and count what is as it was; the rest has to be told of."""
        outcomes: list[Outcome] = []
        with opened(self.remote, CATALOGUE, create=False) as remote:
            outcomes += self.registry.repair(sources=[(self.remote, remote)])
        lost = {path for path in damaged if _bytes(path) != self.good[path]}
        problems = [outcome.problem for outcome in outcomes if not outcome.mended]
        hit = {path for problem in problems for ref in problem.versions for path in self.parts(ref)}
        assert lost <= self.told_of(problems) | hit, ("lost without a word", outcomes)
        self.done += len(damaged)
        self.mended += len(damaged) - len(lost)
        for path in lost:
            self._put_back(path)
        assert self.registry.fsck(read_data=True).problems == ()
        assert self.registry.damaged() == {}


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def test_all_damage_is_told_of_refused_and_mended(tmp_path: Path) -> None:
    rot = Rot(tmp_path)
    time.sleep(2 * SETTLED_NS / 1e9)  # what was verified since then is not hashed again
    for version in rot.versions.values():
        rot.load(version)
    rounds = 0
    while rot.done < DAMAGES:
        damaged = rot.damage()
        rot.check_told(damaged)
        rot.check_loads(damaged)
        if rounds % 7 == 0:
            rot.repair_alone()
        rot.repair(damaged)
        shutil.rmtree(rot.registry.home / "quarantine")
        (rot.registry.home / "quarantine").mkdir()
        rounds += 1
    print(f"{rot.done:,} damaged files in {rounds} rounds, {rot.mended:,} mended")
    assert rot.mended >= 0.99 * rot.done
