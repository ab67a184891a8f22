"""A registry's life before a fragile disk: what is done in it, and what was promised.

A process that is killed proves little, since the system still writes what it was given. Here a
model of the disk stands behind the I/O facade. It knows of every file and folder what was synced;
after every call the power may go, and then any part of the rest is kept or lost. Between two cuts
processes are killed, so that the next one finds what was never synced.
"""

import hashlib
import json
import random
import shutil
from base64 import b64encode
from collections.abc import Callable, Iterable
from pathlib import Path

from adapterhub_lite.training.publish import publish_folder
from adapterhub_lite_registry import (
    Config,
    Dataset,
    ManifestDraft,
    NotFoundError,
    Outcome,
    Registry,
    Source,
    Version,
)
from adapterhub_lite_registry.evaluations import EvaluationDraft
from adapterhub_lite_registry.signing import PREDICATE
from tests.stress.disk import FragileDisk, Killed

DRAFT = ManifestDraft(kind="adapter")
SCORES = EvaluationDraft(task="x", dataset=Dataset(id="rows"))
KEEP = 1e9
KINDS = ("blob", "manifest")


class Everything:
    """A remote that has every file and manifest that was ever published."""

    def __init__(self) -> None:
        self.bytes: dict[str, bytes] = {}

    def read(self, sha256: str) -> Iterable[bytes]:
        return [self.bytes[sha256]]

    def read_manifest(self, digest: str) -> Iterable[bytes]:
        return [self.bytes[digest.removeprefix("sha256:")]]

    def resolve(self, name: str, number: int) -> str | None:
        return None


class Life:
    """A registry's life, and what was promised in it.

    ``live`` are the versions whose publish was acknowledged, ``leaving`` those of them whose
    removal was asked for, ``gone`` those for which that was acknowledged. ``rotten`` are the hashes
    of files that may be damaged, ``lost`` of those taken away, ``kept`` of those that must lie in
    store or quarantine; ``marked`` the versions that must be listed as damaged.
    """

    def __init__(self, tmp_path: Path, seed: int, forgets: str = "", kills: bool = True) -> None:
        home = (tmp_path / f"home{seed}").resolve()
        self.scratch = tmp_path / f"cuts{seed}"
        home.mkdir()
        self.scratch.mkdir()
        self.disk = FragileDisk(home, forgets)
        self.rng = random.Random(seed)
        self.kills = kills
        self.is_laid_out = False
        self.cuts = 0
        self.remote = Everything()
        self.live: dict[str, str] = {}
        self.leaving: set[str] = set()
        self.gone: set[str] = set()
        self.alias: set[int | None] = {None}
        self.moves = 0
        self.scores = 0
        self.signatures = 0
        self.rotten: set[str | None] = set()
        self.lost: set[str | None] = set()
        self.kept: set[str | None] = set()
        self.marked: set[str] = set()
        self.config = [Config()]

    def check(self) -> None:
        if not self.is_laid_out and self.rng.random() < 0.95:
            return  # laying out makes five hundred folders, each like the other
        self.cuts += 1
        home = self.scratch / f"{self.cuts}"
        self.disk.cut_power(home, self.rng)
        if not self.is_laid_out and not (home / "FORMAT").exists():
            shutil.rmtree(home)
            return
        registry = Registry.open(home, create=False)
        for problem in registry.fsck(read_data=True).problems:
            assert problem.sha256 in self.rotten, problem
        for ref, digest in self.live.items():
            if ref not in self.leaving:
                assert f"sha256:{_of(home, ref)}" == digest, ref
        for ref in self.gone:
            assert int(ref.partition("@")[2]) not in _versions(registry, ref), ref
        assert registry.aliases("support").get("prod") in self.alias
        assert len(registry.alias_history("support")) >= self.moves
        assert registry.config in self.config
        assert self.marked <= registry.damaged().keys()
        held = {path.name for path in home.glob("quarantine/*/*")}
        for sha256 in self.kept:
            names = {f"{state}{kind}-{sha256}" for state in ("", "damaged-") for kind in KINDS}
            stays = (path_of(home, f"{kind}s", str(sha256)).exists() for kind in KINDS)
            assert any(stays) or held & names
        assert len(list(home.glob("evaluations/*/*.json"))) >= self.scores
        assert len(list(home.glob("signatures/*/*.json"))) >= self.signatures
        shutil.rmtree(home)

    def do(self, work: Callable[[Registry], object], kill_at: str = "") -> bool:
        """Let a process work that may be killed; tell whether it came to its end."""
        self.disk.kill_at = kill_at
        if self.kills and self.rng.random() < 0.3:
            self.disk.kill_in = self.rng.randrange(1, 30)
        try:
            work(Registry.open(self.disk.home, create=False, io=self.disk))
        except Killed:
            return False
        finally:
            self.disk.revive()
        return True

    def acknowledged(self) -> None:
        for _ in range(4):
            self.check()

    def begin(self) -> None:
        Registry.open(self.disk.home, io=self.disk)
        self.is_laid_out = True
        self.acknowledged()

    def publish(self, name: str, content: bytes) -> str | None:
        ref: list[str] = []

        def work(registry: Registry) -> None:
            files: dict[str, bytes | Path] = {"a.json": content, "shared.json": b"{}"}
            version = registry.publish(name, files, DRAFT)
            self.live[str(version)] = version.digest
            ref.append(str(version))

        self.do(work)
        self.acknowledged()
        for kind in ("blobs", "manifests"):
            for path in self.disk.home.glob(f"{kind}/sha256/??/*"):
                self.remote.bytes[path.name] = path.read_bytes()
        return ref[0] if ref else None

    def move(self, ref: str | None) -> None:
        if ref is None:
            return
        number = int(ref.partition("@")[2])
        self._move(number, lambda registry: registry.set_alias("support", "prod", number))

    def drop_alias(self) -> None:
        if self._now() is not None:
            self._move(None, lambda registry: registry.remove_alias("support", "prod"))

    def roll_back(self) -> None:
        history = Registry.open(self.disk.home, create=False).alias_history("support", "prod")
        if history and history[-1].before is not None:
            to = history[-1].before
            if f"support@{to}" in self.live and f"support@{to}" not in self.leaving:
                self._move(to, lambda registry: registry.rollback("support", "prod"))

    def _move(self, to: int | None, work: Callable[[Registry], object]) -> None:
        now = self._now()
        self.alias = self.alias | {to}
        if self.do(work):
            self.alias = {to}
            self.moves += now != to
        self.acknowledged()

    def _now(self) -> int | None:
        return Registry.open(self.disk.home, create=False).aliases("support").get("prod")

    def remove(self, ref: str | None) -> bool:
        now = self._now()
        if ref is None or ref == f"support@{now}":
            return False
        self.leaving.add(ref)
        gone = self.do(lambda registry: registry.remove(ref))
        if gone:
            self.gone.add(ref)
            self.alias = {now}  # or else one that points to nothing might come back
        self.acknowledged()
        return gone

    def gc(self, quarantine: float) -> None:
        if quarantine == 0:
            self.kept.clear()
        before = {path.name for path in self.disk.home.glob("blobs/sha256/??/*")}
        if self.do(lambda registry: registry.gc(grace=0, quarantine=quarantine)):
            self.kept |= before if quarantine else set()
        self.acknowledged()

    def rot_and_repair(self, path: Path, *, mended: bool, gone: bool = False) -> None:
        """Damage a file, or take it away, and repair it: with a remote that has it, or without."""
        if not path.exists():
            return
        self.rotten.add(path.name)
        if gone:
            self.lost.add(path.name)
            self.disk.unlink(path)
            self.disk.fsync_dir(path.parent)
        else:
            self.disk.rot(path)
        sources = [("remote", self.remote)] if mended else []
        done: list[Outcome] = []
        if self.do(lambda registry: done.extend(registry.repair(sources=sources))):
            assert not mended or all(outcome.mended for outcome in done)
            lost = [outcome.problem for outcome in done if not outcome.mended]
            self.rotten -= {outcome.problem.sha256 for outcome in done if outcome.mended}
            self.marked = {ref for problem in lost for ref in problem.versions}
            self.kept |= {problem.sha256 for problem in lost if problem.sha256 not in self.lost}
        self.acknowledged()

    def score(self, ref: str | None) -> None:
        if ref is not None:
            self.scores += self.do(
                lambda registry: registry.evaluations.add(registry.resolve(ref), SCORES)
            )
            self.acknowledged()

    def sign(self, ref: str, who: str) -> None:
        def work(registry: Registry) -> None:
            version = registry.resolve(ref)
            data = signature(version, who)
            registry.signatures.add(version.manifest, version.digest, data)

        self.signatures += self.do(work)
        self.acknowledged()

    def take_folder(self, folder: Path) -> None:
        """Publish a folder's files under an alias, as an import does in the end."""

        def work(registry: Registry) -> None:
            version = publish_folder(folder, "support", DRAFT, registry, "prod")
            self.live[str(version)] = version.digest

        self.alias = {None, 1}
        if self.do(work):
            self.alias, self.moves = {1}, 1
        self.acknowledged()

    def give_over(self, content: bytes) -> None:
        """Publish a file that was made on the registry's own disk, and is not copied."""

        def work(registry: Registry) -> None:
            with registry.scratch() as folder:
                file = folder / "model.safetensors"
                fd = self.disk.create(file, 0o444)
                self.disk.write(fd, content)
                self.disk.close(fd)
                given = Source(file, sha256=sha256_of(content))
                version = registry.publish("support", {"model.safetensors": given}, DRAFT)
                self.live[str(version)] = version.digest

        self.do(work)
        self.acknowledged()

    def configure(self, quota: int) -> None:
        config = Config(quota_hard=quota)
        self.config.append(config)
        if self.do(lambda registry: registry.configure(config)):
            self.config = [config]
        self.acknowledged()

    def reappear(self, ref: str | None) -> None:
        """A version whose files were collected is there again, and the next collection sees it."""
        assert ref is not None
        self.gone.discard(ref)
        manifest = self.live[ref].removeprefix("sha256:")
        registry = Registry.open(self.disk.home, create=False, io=self.disk)
        registry.exchange.write_manifest(self.remote.bytes[manifest])
        self.rotten = {sha256_of(b"first"), sha256_of(b"{}")}
        self.bring_back(ref)
        if self.do(lambda registry: registry.gc(grace=0, quarantine=KEEP)):
            self.rotten = set()
            self.leaving.discard(ref)
        self.acknowledged()

    def bring_back(self, ref: str) -> None:
        """Let a version appear that counts on collected files, as where no lock works."""
        name, _, number = ref.partition("@")
        path = self.disk.home / "refs" / name / "v" / f"{int(number):08d}"
        line = path.read_bytes().removeprefix(b"removed ")
        fresh = self.disk.home / "tmp" / "back"
        fd = self.disk.create(fresh)
        self.disk.write(fd, line)
        self.disk.fsync(fd)
        self.disk.close(fd)
        self.disk.rename(fresh, path)
        self.disk.fsync_dir(path.parent)


def signature(version: Version, who: str) -> bytes:
    """Return what looks like a signature; whether it is one nobody asks here."""
    named = {"name": f"{version.name}@{version.digest}"}
    statement = json.dumps({"predicateType": PREDICATE, "subject": [named]}).encode()
    return json.dumps({"dsseEnvelope": {"payload": b64encode(statement).decode()}, who: 1}).encode()


def path_of(home: Path, kind: str, sha256: str) -> Path:
    return home / kind / "sha256" / sha256[:2] / sha256


def _versions(registry: Registry, ref: str) -> list[int]:
    try:
        return registry.versions(ref.partition("@")[0])
    except NotFoundError:
        return []


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _of(home: Path, ref: str) -> str:
    name, _, number = ref.partition("@")
    line = (home / "refs" / name / "v" / f"{int(number):08d}").read_text()
    return line.split()[0].removeprefix("sha256:")
