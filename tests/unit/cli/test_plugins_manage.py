"""``ahl plugins list --hook``, ``show``, ``disable``, ``enable`` and ``check``."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.testing.outcomes import CheckResult

METHOD = """\
from pydantic import Field
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import MethodSpec, Params

class BitFitParams(Params):
    terms: str = Field("all", description="Which biases learn.")

@hookimpl
def adapterhub_methods():
    yield MethodSpec(
        name="bitfit", summary="Biases only.", implementation="acme_x.code:BitFit",
        paper="https://arxiv.org/abs/2106.10199", params=BitFitParams,
    )

@hookimpl
def adapterhub_run_event(event):
    pass
"""
PRESET = """\
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import PresetSpec

@hookimpl
def adapterhub_presets():
    yield PresetSpec(name="bits", summary="BitFit.", recipe={"method": {"name": "bitfit"}})
"""
DIES = "import os\nos._exit(9)\n"


@pytest.fixture
def acme(environment: Any) -> Any:
    """Install ``acme-tools``, a distribution of two plugins."""
    modules = {"acme_x": METHOD, "acme_y": PRESET}
    environment.install("acme-tools", {"bits": "acme_x", "more": "acme_y"}, modules)
    return environment


def rows(ahl: Any, *words: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(ahl("plugins", "list", "--json", *words).out)
    return found


def status_of(ahl: Any, plugin: str) -> str:
    (found,) = {r["status"] for r in rows(ahl) if plugin in (r["distribution"], r["name"])}
    return found


class TestList:
    def test_a_person_sees_strangers_and_a_summary_of_ours(self, ahl: Any, acme: Any) -> None:
        told = ahl("plugins", "list").out
        lines = [line.split()[:5] for line in told.splitlines() if "acme-tools" in line]
        assert lines == [
            ["bitfit", "method", "acme-tools", "1.0", "ok"],
            ["bits", "preset", "acme-tools", "1.0", "ok"],
        ]
        assert "adapterhub-lite itself offers " in told
        assert " metrics" in told
        assert "accuracy" not in told
        assert "accuracy" in ahl("plugins", "list", "--all").out

    def test_without_strangers_it_says_how_to_get_one(self, ahl: Any) -> None:
        assert ahl("plugins", "list").out.startswith("no third-party plugins; one comes with: ahl")

    @pytest.mark.parametrize("hook", ["method", "methods", "adapterhub_methods"])
    def test_by_a_collecting_hook(self, ahl: Any, acme: Any, hook: str) -> None:
        found = rows(ahl, "--hook", hook)
        assert {row["kind"] for row in found} == {"method"}
        assert {"bitfit", "full"} <= {row["name"] for row in found}

    def test_by_a_hook_that_follows(self, ahl: Any, acme: Any) -> None:
        found = rows(ahl, "--hook", "run_event")
        assert [(row["name"], row["kind"]) for row in found] == [("bits", "plugin")]

    def test_by_no_hook(self, ahl: Any) -> None:
        done = ahl("plugins", "list", "--hook", "metod")
        assert done.code == 2
        assert "unknown hook 'metod'" in done.err
        assert "did you mean 'methods'?" in done.err


class TestShow:
    def test_a_distribution(self, ahl: Any, acme: Any) -> None:
        told = json.loads(ahl("plugins", "show", "Acme_Tools", "--json").out)
        assert (told["distribution"], told["version"]) == ("acme-tools", "1.0")
        bits, more = told["plugins"]
        assert bits["file"] == str(acme.folder / "acme_x.py")
        assert bits["hooks"] == ["adapterhub_methods", "adapterhub_run_event"]
        (offer,) = bits["offers"]
        assert offer["implementation"] == "acme_x.code:BitFit"
        assert offer["params"]["properties"]["terms"]["default"] == "all"
        assert [offer["kind"] for offer in more["offers"]] == ["preset"]

    @pytest.mark.parametrize("name", ["acme-tools:bits", "bitfit"])
    def test_a_plugin_or_an_offer(self, ahl: Any, acme: Any, name: str) -> None:
        told = ahl("plugins", "show", name).out
        assert "acme-tools 1.0" in told
        assert "method bitfit: Biases only." in told
        assert str(acme.folder / "acme_x.py") in told
        assert "https://arxiv.org/abs/2106.10199" in told
        assert "terms (default: all)" in told
        assert "Which biases learn." in told
        assert "preset" not in told

    def test_one_that_is_broken_and_its_command(self, ahl: Any, environment: Any) -> None:
        environment.install("acme", {"x": "acme_x"}, {"acme_x": "import no_such_library\n"})
        environment.install(
            "acme-cli", {"hello": "acme_c:x"}, {"acme_c": ""}, group="adapterhub_lite.commands"
        )
        told = ahl("plugins", "show", "acme").out
        assert "broken: ModuleNotFoundError: No module named 'no_such_library'" in told
        assert str(environment.folder / "acme_x.py") in told
        assert "command hello" in ahl("plugins", "show", "acme-cli").out

    def test_nothing_of_that_name(self, ahl: Any, acme: Any) -> None:
        done = ahl("plugins", "show", "bitfitt")
        assert done.code == 2
        assert "did you mean 'bitfit'?" in done.err

    def test_an_offer_of_two(self, ahl: Any, environment: Any) -> None:
        for name in ("acme", "other"):
            environment.install(name, {"x": f"{name}_x"}, {f"{name}_x": METHOD})
        done = ahl("plugins", "show", "bitfit")
        assert done.code == 2
        assert "acme:x or other:x" in done.err


class TestDisable:
    @pytest.mark.parametrize("name", ["acme-tools", "Acme.Tools"])
    def test_a_distribution(self, ahl: Any, acme: Any, name: str) -> None:
        done = ahl("plugins", "disable", name)
        assert done.out == (
            "acme-tools is disabled; to load it again: ahl plugins enable acme-tools\n"
        )
        assert status_of(ahl, "acme-tools") == "disabled"
        unknown = ahl("methods", "show", "bitfit")
        assert unknown.code == 2
        assert "not loaded: acme-tools:bits (disabled), acme-tools:more (disabled)" in unknown.err
        assert ahl("plugins", "enable", name).out == "acme-tools is enabled\n"
        assert status_of(ahl, "acme-tools") == "ok"

    def test_one_plugin_of_it(self, ahl: Any, acme: Any) -> None:
        assert ahl("plugins", "disable", "more").code == 0
        assert "the module acme_y, which is not loaded" in ahl("plugins", "show", "more").out
        found = {(r["name"], r["status"]) for r in rows(ahl) if r["distribution"] == "acme-tools"}
        assert found == {("bitfit", "ok"), ("more", "disabled")}
        (row,) = (r for r in rows(ahl) if r["name"] == "more")
        assert row["error"] == "to load it again: ahl plugins enable acme-tools:more"
        assert ahl("plugins", "enable", "acme-tools").out == "acme-tools is enabled\n"
        assert status_of(ahl, "acme-tools") == "ok"

    def test_nothing_of_a_disabled_plugin_is_imported(self, ahl: Any, environment: Any) -> None:
        environment.install("acme", {"x": "acme_x"}, {"acme_x": DIES})
        assert ahl("plugins", "disable", "acme").code == 0
        assert status_of(ahl, "acme") == "disabled"

    def test_a_command(self, ahl: Any, environment: Any) -> None:
        environment.install(
            "acme", {"hello": "acme_c:x"}, {"acme_c": DIES}, group="adapterhub_lite.commands"
        )
        ahl("plugins", "disable", "acme")
        done = ahl("hello")
        assert done.code == 2
        assert done.err == (
            "error: the command 'hello' of acme is disabled\n"
            "  hint: to load it again: ahl plugins enable acme\n"
        )

    def test_one_of_ours(self, ahl: Any) -> None:
        assert ahl("plugins", "disable", "bottleneck").code == 0
        assert "bottleneck" not in ahl("methods", "list").out
        assert (
            ahl("plugins", "enable", "bottleneck").out == "adapterhub-lite:bottleneck is enabled\n"
        )

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("adapterhub-lite", "adapterhub-lite itself cannot be disabled"),
            ("full", "whole models are saved and loaded by it"),
            ("peft", "the preset 'qlora' of adapterhub-lite:quant is made of its method 'lora'"),
            ("bottelneck", "did you mean 'bottleneck'?"),
        ],
    )
    def test_what_cannot_be(self, ahl: Any, name: str, reason: str) -> None:
        done = ahl("plugins", "disable", name)
        assert done.code == 2
        assert reason in done.err
        assert {row["status"] for row in rows(ahl)} == {"ok"}

    def test_enabling_what_was_never_disabled(self, ahl: Any, acme: Any) -> None:
        assert ahl("plugins", "enable", "acme-tools").out == "acme-tools was not disabled\n"
        assert ahl("plugins", "enable", "acme-tolls").code == 2

    def test_enabling_a_part_of_what_is_disabled(self, ahl: Any, acme: Any) -> None:
        ahl("plugins", "disable", "acme-tools")
        done = ahl("plugins", "enable", "more")
        assert done.code == 2
        assert done.err.endswith("hint: run: ahl plugins enable acme-tools\n")

    def test_what_was_uninstalled_can_still_be_enabled(self, ahl: Any, acme: Any) -> None:
        ahl("plugins", "disable", "acme-tools")
        for file in acme.folder.glob("*.dist-info/entry_points.txt"):
            file.unlink()
        assert ahl("plugins", "enable", "acme-tools").out == "acme-tools is enabled\n"

    @pytest.mark.parametrize("text", ["{", "[]", '{"disabled": "acme"}', '{"disabled": [3]}'])
    def test_a_damaged_file_is_never_passed_over(
        self, ahl: Any, acme: Any, home: Path, text: str
    ) -> None:
        file = Path(os.environ["ADAPTERHUB_LITE_CONFIG"]) / "plugins.json"
        file.parent.mkdir()
        file.write_text(text)
        for words in (("methods", "list"), ("plugins", "disable", "acme-tools")):
            done = ahl(*words)
            assert done.code == 2
            assert f"{file} does not parse" in done.err
        assert file.read_text() == text
        assert ahl("list").code == 0, "what uses no plugin works on"


class TestCheck:
    def test_what_does_not_load_has_failed(self, ahl: Any, environment: Any) -> None:
        environment.install("acme", {"x": "acme_x"}, {"acme_x": "import no_such_library\n"})
        done = ahl("plugins", "check", "--json")
        assert done.code == 1
        (result,) = json.loads(done.out)
        assert (result["kind"], result["name"], result["check"]) == ("plugin", "acme:x", "loads")
        assert "No module named 'no_such_library'" in result["message"]

    def test_the_fault_and_its_way_out_stand_under_the_table(
        self, ahl: Any, environment: Any
    ) -> None:
        environment.install("acme", {"x": "acme_x"}, {"acme_x": "import no_such_library\n"})
        told = ahl("plugins", "check", "acme").out
        head, row = [line.split() for line in told.splitlines() if line.strip(" ─")][:2]
        assert head == ["kind", "name", "check", "result", "message"]
        assert row[:4] == ["plugin", "acme:x", "loads", "failed"]
        assert "  hint: ahl doctor tells the way out\n1 failed\n" in told

    def test_one_that_is_off_is_passed_over_unless_it_is_named(self, ahl: Any, acme: Any) -> None:
        ahl("plugins", "disable", "acme-tools")
        assert ahl("plugins", "check").code == 0
        assert ahl("plugins", "check", "acme-tools").code == 1

    @pytest.mark.parametrize(
        ("status", "code"),
        [("passed", 0), ("skipped", 0), ("expected", 0), ("failed", 1), ("unexpected", 1)],
    )
    def test_the_kit_decides(
        self, ahl: Any, acme: Any, monkeypatch: pytest.MonkeyPatch, status: Any, code: int
    ) -> None:
        def check_plugin(_: Catalogue, plugin: str) -> Iterator[CheckResult]:
            print("a plugin prints while it is checked")
            yield CheckResult(
                kind="preset", name=plugin, check="check_it", status=status, hint="mend it"
            )

        monkeypatch.setattr("adapterhub_lite.testing.suite.check_plugin", check_plugin)
        done = ahl("plugins", "check", "more", "--json")
        (result,) = json.loads(done.out)
        assert (result["name"], result["status"]) == ("acme-tools:more", status)
        assert done.code == code
        told = ahl("plugins", "check", "more").out
        assert ("  hint: mend it\n" in told) is (code == 1)

    def test_there_is_nobody_to_check(self, ahl: Any) -> None:
        done = ahl("plugins", "check")
        assert (done.code, done.err) == (0, "")
        assert "no third-party plugins" in done.out

    def test_a_misspelt_name(self, ahl: Any, acme: Any) -> None:
        done = ahl("plugins", "check", "acme-tool")
        assert done.code == 2
        assert "did you mean 'acme-tools'?" in done.err
