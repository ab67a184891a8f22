"""``ahl doctor``: every fault is named with the way out of it, and nothing stops the rest."""

import json
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite.environment.device import DeviceProbe
from adapterhub_lite_registry import ManifestDraft, Registry

METHOD = """\
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import MethodSpec

@hookimpl
def adapterhub_methods():
    yield MethodSpec(name={name!r}, summary="A method.")
"""


@pytest.fixture
def examine(ahl: Any) -> Any:
    """Run ``ahl doctor --quick --json``; return its exit code and the findings by subject."""

    def run(*words: str) -> tuple[int, dict[str, dict[str, str]]]:
        done = ahl("doctor", "--quick", "--json", *words)
        told = json.loads(done.out)
        assert told["healthy"] is (done.code == 0)
        return done.code, {finding["subject"]: finding for finding in told["findings"]}

    return run


@pytest.fixture
def site(environment: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let processes that are started find the installed distributions as well."""
    monkeypatch.setenv("PYTHONPATH", str(environment.folder))
    return environment


def test_a_healthy_environment(examine: Any, home: Path) -> None:
    code, found = examine()
    assert code == 0
    assert {finding["level"] for finding in found.values()} <= {"ok", "warning"}
    assert "torch 2." in found["libraries"]["message"]
    assert found["registry"]["message"] == f"nothing is published at {home} yet"
    assert found["plugins"]["message"].endswith(" offers")
    assert found["hub"]["message"].startswith("offline by HF_HUB_OFFLINE=1")
    assert "cpu" not in found, "--quick leaves out what needs torch"
    assert not (home / "FORMAT").exists(), "nothing is written"


def test_each_plugin_in_trouble_is_named_with_a_way_out(examine: Any, site: Any) -> None:
    sources = {
        "dies": "import os\nos._exit(9)\n",
        "broken": "import no_such_library\n",
        "noisy": "print('hello')\n" + METHOD.format(name="noisy"),
        "heavy": "import jax\n" + METHOD.format(name="heavy"),
        "twin": METHOD.format(name="full"),
        "fine": METHOD.format(name="fine"),
    }
    for name, source in sources.items():
        more = {"jax": ""} if name == "heavy" else {}
        site.install(f"acme-{name}", {"x": f"acme_{name}"}, {f"acme_{name}": source, **more})
    code, found = examine()
    assert code == 1
    assert found["plugin acme-fine:x"]["message"] == "method fine"
    told = {name: found[f"plugin acme-{name}:x"] for name in sources if name != "twin"}
    assert {name: finding["level"] for name, finding in told.items()} == {
        "dies": "fault",
        "broken": "fault",
        "noisy": "warning",
        "heavy": "warning",
        "fine": "ok",
    }
    assert "ends the process that loads it (exit code 9)" in told["dies"]["message"]
    assert "No module named 'no_such_library'" in told["broken"]["message"]
    assert told["noisy"]["message"] == "prints when it is loaded: 'hello'"
    assert told["heavy"]["message"].startswith("imports jax when it is loaded (")
    for name in ("dies", "broken", "noisy", "heavy"):
        assert f"ahl plugins disable acme-{name}:x" in told[name]["way_out"]
    conflict = found["method full"]
    assert conflict["level"] == "fault"
    assert "offered by acme-twin 1.0 and adapterhub-lite" in conflict["message"]
    assert "ahl plugins disable acme-twin" in conflict["way_out"]


def test_commands_are_tried_and_compared(examine: Any, site: Any) -> None:
    group = "adapterhub_lite.commands"
    for name in ("one", "two"):
        site.install(f"acme-{name}", {"hello": f"acme_{name}:x"}, {f"acme_{name}": ""}, group=group)
    site.install("acme-bad", {"greet": "acme_bad:x"}, {"acme_bad": "x = 3\n"}, group=group)
    code, found = examine()
    assert code == 1
    assert found["command acme-bad:greet"]["message"].endswith("is no click command")
    assert "acme-one 1.0 and acme-two 1.0" in found["command hello"]["message"]


def test_one_that_is_off_is_no_fault(
    examine: Any, site: Any, ahl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("acme", {"x": "acme_x"}, {"acme_x": "import os\nos._exit(9)\n"})
    ahl("plugins", "disable", "acme")
    code, found = examine()
    assert code == 0
    assert found["plugin acme:x"]["message"] == "disabled"
    assert found["plugin acme:x"]["way_out"] == "to load it again: ahl plugins enable acme"


def test_a_damaged_settings_file_is_a_fault_of_its_part_alone(
    examine: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADAPTERHUB_LITE_CONFIG", str(home))
    (home / "plugins.json").write_text("{")
    code, found = examine()
    assert code == 1
    assert "does not parse" in found["plugins"]["message"]
    assert "remove it" in found["plugins"]["way_out"]
    assert found["registry"]["level"] == "ok"


@pytest.mark.parametrize(
    ("damage", "told"), [("remove", "the file is missing"), ("cut", "the file has 3 bytes, not 9")]
)
def test_what_the_registry_lacks(examine: Any, home: Path, damage: str, told: str) -> None:
    registry = Registry.open(home)
    registry.publish("words", {"card.txt": b"published"}, ManifestDraft(kind="model"))
    assert examine()[1]["registry"]["message"].startswith(f"{home}: 1 version, complete")
    (blob,) = (file for file in (home / "blobs").rglob("*") if file.is_file())
    blob.chmod(0o644)
    if damage == "cut":
        blob.write_bytes(b"pub")
    else:
        blob.unlink()
    code, found = examine()
    assert code == 1
    assert told in found["registry"]["message"]
    assert "(hits words@1)" in found["registry"]["message"]
    assert "ahl rm words@1" in found["registry"]["way_out"]


def test_a_registry_of_a_newer_format(examine: Any, home: Path) -> None:
    Registry.open(home)
    (home / "FORMAT").chmod(0o644)
    (home / "FORMAT").write_text("adapterhub-lite-registry 99\n")
    code, found = examine()
    assert code == 1
    assert found["registry"]["way_out"] == "upgrade adapterhub-lite"


def test_a_library_that_is_too_old_or_missing(
    examine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib import metadata

    from adapterhub_lite.environment import libraries

    def requires(_: str) -> list[str]:
        return ["click>=8", "pluggy>=99", "no-such-library>=1", 'jax>=1; extra == "speed"']

    monkeypatch.setattr(libraries, "requires", requires)
    extras = metadata.metadata("adapterhub-lite")
    extras["Provides-Extra"] = "speed"
    monkeypatch.setattr(libraries, "metadata", lambda _: extras)
    code, found = examine()
    assert code == 1
    assert found["libraries"]["message"].startswith("click 8")
    assert found["pluggy"]["message"].endswith("is installed, >=99 is needed")
    assert found["pluggy"]["way_out"].endswith("-m pip install 'pluggy>=99'")
    assert found["no-such-library"]["message"] == "no-such-library is not installed"
    assert found["extra speed"]["level"] == "ok", "nobody needs it"
    assert found["extra speed"]["way_out"].endswith("pip install 'adapterhub-lite[speed]'")


def test_little_disk_is_a_warning(examine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapterhub_lite.environment.machine.SCARCE", 10**18)
    code, found = examine()
    assert code == 0
    assert found["disk, registry"]["level"] == "warning"
    assert "--home" in found["disk, registry"]["way_out"]


def test_a_person_reads_faults_and_ways_out(ahl: Any, site: Any) -> None:
    site.install("acme", {"x": "acme_x"}, {"acme_x": "import no_such_library\n"})
    done = ahl("doctor", "--quick")
    assert done.code == 1
    lines = done.out.splitlines()
    (at,) = (n for n, line in enumerate(lines) if line.startswith("plugin acme:x"))
    assert "fault: broken: ModuleNotFoundError" in lines[at]
    assert lines[at + 1].strip().startswith("→ ")
    assert lines[-1].startswith("1 fault")


TORCH = """\
class cuda:
    is_available = staticmethod(lambda: {gpus} > 0)
    device_count = staticmethod(lambda: {gpus})
    class get_device_properties:
        def __init__(self, number):
            self.name, self.total_memory = "Big GPU", 80 * 2**30
class version:
    cuda = {built!r}
get_num_threads = lambda: 4
"""


THREADS = ("ok", "4 threads")
NO_GPU = "there is a GPU driver, and torch sees no GPU: it is built for "


@pytest.mark.parametrize(
    ("torch", "driver", "told"),
    [
        (TORCH.format(gpus=1, built="12.4"), True, [THREADS, ("ok", "Big GPU, 80 GiB")]),
        (TORCH.format(gpus=0, built=None), False, [THREADS, ("ok", "no GPU here")]),
        (TORCH.format(gpus=0, built=None), True, [THREADS, ("warning", f"{NO_GPU}CPU")]),
        (TORCH.format(gpus=0, built="12.4"), True, [THREADS, ("warning", f"{NO_GPU}CUDA 12.4")]),
        ("raise OSError('no libc10')\n", False, [("fault", "does not import: OSError: no libc10")]),
        ("import os\nos._exit(7)\n", False, [("fault", "does not import: exit code 7")]),
    ],
)
def test_the_device(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    torch: str,
    driver: bool,
    told: list[tuple[str, str]],
) -> None:
    (tmp_path / "torch.py").write_text(torch)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    there = tmp_path if driver else tmp_path / "none"
    monkeypatch.setattr("adapterhub_lite.environment.device.NVIDIA", there)
    findings = list(DeviceProbe().findings())
    assert [(finding.level, finding.message) for finding in findings] == told
    assert all(finding.way_out for finding in findings if finding.level != "ok")
