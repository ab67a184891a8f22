"""What fifty plugin distributions cost commands that use none of them.

    python benchmarks/plugins_overhead.py [--plugins 50] [--repeats 15]

Prints the CPU time (user and system, median) of ``ahl --help``, ``ahl list`` and, to compare,
``ahl methods list``, which loads them all, with the distributions on the path and without. Runs
alternate, so that a busy machine weighs on both alike.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

COMMANDS = ("--help", "list", "methods list")
PLUGIN = """\
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import MethodSpec


@hookimpl
def adapterhub_methods():
    yield MethodSpec(name="method-{number}", summary="A method.")
"""


def main() -> None:
    """Measure, and print a row a command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plugins", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        site, empty, home = (Path(folder) / name for name in ("site", "empty", "home"))
        empty.mkdir()
        for number in range(options.plugins):
            install(site, number)
        publish(home)
        print(f"{'command':<18}{'without':>10}{'with':>10}{'ratio':>8}")
        for command in COMMANDS:
            compare(command, empty, site, home, options.repeats)


def install(site: Path, number: int) -> None:
    """Write a distribution with a plugin and a command, as pip leaves it."""
    info = site / f"acme_{number}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{number}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[adapterhub_lite]\nx = acme_{number}\n"
        f"[adapterhub_lite.commands]\nacme-{number} = acme_{number}:command\n"
    )
    (site / f"acme_{number}.py").write_text(PLUGIN.format(number=number))


def publish(home: Path) -> None:
    """Give ``ahl list`` something to list."""
    from adapterhub_lite_registry import ManifestDraft, Registry

    registry = Registry.open(home)
    for name in ("words", "shares", "notes"):
        registry.publish(name, {"a": b"a"}, ManifestDraft(kind="model"))


def compare(command: str, empty: Path, site: Path, home: Path, repeats: int) -> None:
    """Print the median of each, and the ratio; the first run of each is not counted."""
    times: dict[Path, list[float]] = {empty: [], site: []}
    for repeat in range(repeats + 1):
        for path, found in times.items():
            took = cpu_seconds(command.split(), path, home)
            if repeat:
                found.append(took)
    without, loaded = (statistics.median(found) for found in times.values())
    ratio = loaded / without
    print(f"ahl {command:<14}{without * 1000:>7.0f} ms{loaded * 1000:>7.0f} ms{ratio:>8.2f}")


def cpu_seconds(words: list[str], path: Path, home: Path) -> float:
    """Return the user and system time of one command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "adapterhub_lite", *words],
        env={**os.environ, "PYTHONPATH": str(path), "ADAPTERHUB_LITE_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
