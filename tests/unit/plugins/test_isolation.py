"""What a plugin that misbehaves may do to the rest: nothing, and everybody is told."""

import json
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pluggy
import pytest

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.hookspecs import API_VERSION, HookSpecs, hookimpl, hookspec
from adapterhub_lite.plugins import PluginRecord, PluginSource, admitted, load_catalogue
from adapterhub_lite.specs import ResolvedBase

NOISY = """\
import os, subprocess, sys
print("hello from acme")
os.write(1, b"hello from C\\n")
subprocess.run(["echo", "hello from a child"])
sys.__stdout__.write("hello past the capture\\n")
"""


def record_of(catalogue: Catalogue, distribution: str) -> PluginRecord:
    (found,) = (r for r in catalogue.records if r.source.distribution == distribution)
    return found


def test_what_a_plugin_prints_is_kept_from_stdout(
    environment: Any, plugin_source: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    environment.install("acme", {"x": "acme"}, {"acme": NOISY + plugin_source("bitfit")})
    catalogue = load_catalogue()
    sys.stdout.flush()
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.count("hello") == 3
    record = record_of(catalogue, "acme")
    assert (record.status, record.printed) == ("ok", "hello from acme")
    (row,) = (row for row in catalogue.listing() if row["name"] == "bitfit")
    assert row["note"] == "prints when it is loaded: 'hello from acme'"
    print("stdout is whole again")
    assert capfd.readouterr().out == "stdout is whole again\n"


def test_what_a_hook_prints_is_kept_from_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    @hookimpl
    def adapterhub_run_event(event: Mapping[str, Any]) -> None:
        print(f"heard of {event['event']}")

    @hookimpl
    def adapterhub_methods() -> list[Any]:
        print("asked for methods")
        return []

    catalogue = Catalogue([source_of(adapterhub_run_event, adapterhub_methods)])
    catalogue.run_event({"event": "started"})
    assert capsys.readouterr() == ("", "heard of started\n")
    assert catalogue.records[0].printed == "asked for methods"


def source_of(*hooks: Any, **attributes: Any) -> PluginSource:
    module = ModuleType("plugin")
    vars(module).update({hook.__name__: hook for hook in hooks}, **attributes)
    return PluginSource("x", "acme", "1.0", lambda: module)


def test_a_heavy_import_is_noted(environment: Any, plugin_source: Any) -> None:
    source = "import jax\n" + plugin_source("bitfit")
    environment.install("acme", {"x": "acme"}, {"acme": source, "jax": ""})
    record = record_of(load_catalogue(), "acme")
    assert record.status == "ok"
    assert record.heavy == ("jax",)
    assert record.note == "imports jax when it is loaded"


def test_a_light_plugin_has_no_note(environment: Any, plugin_source: Any) -> None:
    environment.install("acme", {"x": "acme"}, {"acme": plugin_source("bitfit")})
    record = record_of(load_catalogue(), "acme")
    assert (record.heavy, record.printed, record.note) == ((), "", "")
    assert record.hooks == ("adapterhub_methods",)
    assert record.file == str(environment.folder / "acme.py")


def test_a_plugin_for_this_api_or_an_older_one_loads() -> None:
    assert Catalogue([source_of()]).records[0].status == "ok"
    for version in range(1, API_VERSION + 1):
        assert Catalogue([source_of(adapterhub_api=version)]).records[0].status == "ok"


@pytest.mark.parametrize("version", ["1", 0, -1, True, 1.0, None])
def test_an_api_version_that_is_none_is_refused(version: Any) -> None:
    (record,) = Catalogue([source_of(adapterhub_api=version)]).records
    assert record.status == "broken"
    assert record.error == (
        f"TypeError: adapterhub_api is {version!r}, not a whole number from 1 on"
    )


@pytest.mark.parametrize(
    ("requires", "needs"),
    [
        ("", "needs a newer adapterhub-lite; upgrade"),
        ("pluggy\nadapterhub-lite", "needs a newer adapterhub-lite; upgrade"),
        ("Adapterhub_Lite>=99", "needs adapterhub-lite >=99, and this is "),
    ],
)
def test_a_plugin_for_a_newer_api_is_refused(
    environment: Any, plugin_source: Any, requires: str, needs: str
) -> None:
    source = f"adapterhub_api = {API_VERSION + 1}\n" + plugin_source("bitfit")
    environment.install("acme", {"x": "acme"}, {"acme": source})
    require(environment, requires)
    catalogue = load_catalogue()
    record = record_of(catalogue, "acme")
    assert record.status == "broken"
    assert record.error.startswith(needs)
    assert f"written for plugin API {API_VERSION + 1}, and this is {API_VERSION}" in record.error
    assert "bitfit" not in catalogue.names("method")
    assert "full" in catalogue.names("method")


def test_an_import_that_only_a_newer_core_has(environment: Any) -> None:
    source = "from adapterhub_lite.specs import SpecOfTheFuture\n"
    environment.install("acme", {"x": "acme"}, {"acme": source})
    assert record_of(load_catalogue(), "acme").error.startswith("ImportError: cannot import name")
    require(environment, "adapterhub-lite>=99")
    error = record_of(load_catalogue(), "acme").error
    assert error.startswith("needs adapterhub-lite >=99, and this is ")
    assert "cannot import name 'SpecOfTheFuture'" in error


def require(environment: Any, requirements: str) -> None:
    """Add requirements to the metadata of the distribution ``acme``."""
    metadata = environment.folder / "acme-1.0.dist-info" / "METADATA"
    lines = [f"Requires-Dist: {line}\n" for line in requirements.splitlines()]
    metadata.write_text(metadata.read_text() + "".join(lines))


class NewerSpecs(HookSpecs):
    """The hooks of a later day: one has gained an argument."""

    @hookspec
    def adapterhub_run_event(self, event: Mapping[str, Any], run: str = "") -> None:
        """Follow a run."""


class NewerCatalogue(Catalogue):
    """A core of a later day, which gives that argument."""

    def run_event(self, event: Mapping[str, Any]) -> None:
        for _ in self._call_each("adapterhub_run_event", event=event, run="run-7"):
            pass


def test_an_argument_that_a_hook_gains_breaks_no_old_plugin(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Any] = []

    def old(event: Mapping[str, Any]) -> None:
        heard.append(event["event"])

    def new(event: Mapping[str, Any], run: str) -> None:
        heard.append((event["event"], run))

    monkeypatch.setattr(admitted, "HookSpecs", NewerSpecs)
    for hook in (old, new):
        hook.__name__ = "adapterhub_run_event"
        catalogue = NewerCatalogue([source_of(hookimpl(hook))])
        assert catalogue.records[0].status == "ok"
        catalogue.run_event({"event": "started"})
    assert heard == ["started", ("started", "run-7")]
    assert caplog.messages == []


def test_an_argument_that_no_hook_has_is_refused() -> None:
    def adapterhub_run_event(run: str) -> None:
        pass

    (record,) = Catalogue([source_of(hookimpl(adapterhub_run_event))]).records
    assert record.status == "broken"
    assert record.error.startswith(pluggy.PluginValidationError.__name__)


class TestTracing:
    """``ADAPTERHUB_LITE_TRACE_HOOKS``."""

    @pytest.fixture
    def trace(self, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Any:
        """Load a plugin, ask it for a base and tell it an event; return what stderr has of it."""

        @hookimpl
        def adapterhub_resolve_base(ref: str) -> ResolvedBase | None:
            raise RuntimeError("boom")

        @hookimpl
        def adapterhub_methods() -> list[Any]:
            return []

        def run(value: str) -> list[str]:
            monkeypatch.setenv("ADAPTERHUB_LITE_TRACE_HOOKS", value)
            catalogue = Catalogue([source_of(adapterhub_resolve_base, adapterhub_methods)])
            catalogue.resolve_base("lab:x")
            catalogue.run_event({"event": "started"})
            printed = capsys.readouterr()
            assert printed.out == ""
            return [line for line in printed.err.splitlines() if line.startswith("trace: ")]

        return run

    def test_each_call_has_a_line_with_plugin_hook_and_time(self, trace: Any) -> None:
        lines = [line.split() for line in trace("1")]
        calls = ["import", "adapterhub_methods", "adapterhub_resolve_base"]
        assert [(line[1], line[2], line[4]) for line in lines] == [
            ("acme:x", call, "ms") for call in calls
        ]
        assert all(float(line[3]) >= 0 for line in lines)
        assert " ".join(lines[2][5:]) == "failed: RuntimeError: boom"

    @pytest.mark.parametrize("value", ["", "0"])
    def test_there_is_none_unless_it_is_asked_for(self, trace: Any, value: str) -> None:
        assert trace(value) == []


def test_json_stays_json(environment: Any, ahl_process: Any) -> None:
    environment.install("acme", {"x": "acme"}, {"acme": NOISY})
    done = ahl_process("plugins", "list", "--json", folder=environment.folder)
    rows = {row["distribution"]: row for row in json.loads(done.stdout)}
    assert rows["acme"]["note"] == "prints when it is loaded: 'hello from acme'"
