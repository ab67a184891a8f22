"""Writers that are killed at random lose nothing that they have acknowledged."""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from adapterhub_lite_registry import Registry

PUBLISHES = 200
KILLS = 20
WRITERS = 4
NAMES = ("alpha", "beta")

WRITER = """
import os, random, sys
from pathlib import Path
from adapterhub_lite_registry import ManifestDraft, Registry

home, name = Path(sys.argv[1]), sys.argv[2]
registry = Registry.open(home)
while True:
    config, weights = os.urandom(8).hex().encode(), os.urandom(random.randrange(200_000))
    version = registry.publish(
        name, {"config.json": config, "model.safetensors": weights}, ManifestDraft(kind="adapter")
    )
    line = f"{version} {version.digest} {config.decode()}\\n"
    os.write(1, line.encode())
"""


def start_writer(home: Path, name: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as acknowledged:
        return subprocess.Popen(
            [sys.executable, "-c", WRITER, str(home), name], stdout=acknowledged
        )


def acknowledged(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def test_killed_writers_lose_nothing(tmp_path: Path):
    home, log = tmp_path / "home", tmp_path / "acknowledged"
    Registry.open(home)
    rng = random.Random(5)
    names = [NAMES[writer % len(NAMES)] for writer in range(WRITERS)]
    writers = [start_writer(home, name, log) for name in names]
    kills = 0
    deadline = time.monotonic() + 45
    try:
        while len(acknowledged(log)) < PUBLISHES or kills < KILLS:
            assert time.monotonic() < deadline, "the writers make no progress"
            time.sleep(rng.uniform(0.02, 0.6))
            victim = rng.randrange(WRITERS)
            writers[victim].send_signal(signal.SIGKILL)
            assert writers[victim].wait() == -signal.SIGKILL, "the writer had failed by itself"
            kills += 1
            writers[victim] = start_writer(home, names[victim], log)
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()

    registry = Registry.open(home, create=False)
    promised = acknowledged(log)
    assert len(promised) >= PUBLISHES
    assert Counter(ref for ref, *_ in promised).most_common(1)[0][1] == 1, "a number given twice"
    for ref, digest, config in promised:
        version = registry.resolve(ref)
        assert version.digest == digest
        assert registry.read_file(version, "config.json") == config.encode()
    assert registry.verify() == [], "something is torn"
    found = {str(entry) for entry in registry.search()}
    assert found == {f"{name}@{n}" for name in registry.names() for n in registry.versions(name)}
    assert {ref for ref, *_ in promised} <= found
