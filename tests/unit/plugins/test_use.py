"""What the core does with a loaded plugin: import its code, ask it for bases, tell it events."""

import sys
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import (
    BaseModelError,
    MissingDependencyError,
    PluginError,
)
from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.plugins import PluginSource, load_catalogue
from adapterhub_lite.specs import MethodSpec, Requirement, ResolvedBase


def made_of(**plugins: Any) -> Catalogue:
    """Build a catalogue of plugins, each given as a module."""
    return Catalogue(
        [
            PluginSource(name, f"dist-{name}", "1.0", lambda plugin=plugin: plugin)
            for name, plugin in plugins.items()
        ]
    )


def plugin_of(**hooks: Any) -> ModuleType:
    module = ModuleType("plugin")
    vars(module).update(hooks)
    return module


def answering(answer: Any) -> ModuleType:
    """Make a plugin that answers adapterhub_resolve_base so, or raises the answer."""

    @hookimpl
    def adapterhub_resolve_base(ref: str) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return plugin_of(adapterhub_resolve_base=adapterhub_resolve_base)


def spec(implementation: str, *requires: Requirement) -> MethodSpec:
    return MethodSpec(name="x", summary="", implementation=implementation, requires=requires)


FOUND = ResolvedBase(ref="lab:x", path="/srv/x", source="lab")
OTHER = ResolvedBase(ref="lab:x", path="/srv/y", source="other")


def test_a_class_is_made_an_object_and_a_function_is_left() -> None:
    catalogue = made_of()
    assert catalogue.implementation(spec("collections:OrderedDict")) == {}
    assert catalogue.implementation(spec("math:sqrt"))(9) == 3


@pytest.mark.parametrize("module", ["no_such_library", "no_such_library.part", "math.part"])
def test_a_missing_requirement_gives_the_pip_line(module: str) -> None:
    needed = Requirement(module=module, install="pip install no-such-library")
    with pytest.raises(MissingDependencyError) as caught:
        made_of().implementation(spec("collections:OrderedDict", needed))
    assert caught.value.install == "pip install no-such-library"
    assert caught.value.hint == "run: pip install no-such-library"
    assert caught.value.message == f"{module}, which 'x' needs, is not installed"


@pytest.mark.parametrize(
    "path", ["no_such_module:Thing", "math:no_such_function", "math", "", "fractions:Fraction.no"]
)
def test_a_broken_import_path_is_named(path: str) -> None:
    with pytest.raises(PluginError) as caught:
        made_of().implementation(spec(path))
    assert caught.value.message.startswith(f"'x' cannot be imported from {path!r}: ")
    assert caught.value.plugin == path.partition(":")[0]


def test_any_failure_of_an_import_is_the_plugins(environment: Any) -> None:
    (environment.folder / "acme_explodes.py").write_text("raise RuntimeError('no driver')\n")
    with pytest.raises(PluginError, match="RuntimeError: no driver"):
        made_of().implementation(spec("acme_explodes:Thing"))


def test_an_error_said_on_purpose_passes_through(environment: Any) -> None:
    (environment.folder / "acme_refuses.py").write_text(
        "from adapterhub_lite.errors import MissingDependencyError\n"
        "raise MissingDependencyError('acme', install='pip install acme')\n"
    )
    with pytest.raises(MissingDependencyError, match="acme is not installed"):
        made_of().implementation(spec("acme_refuses:Thing"))


FIRST_PARTY = [
    (offer.kind, offer.spec.name)
    for offer in load_catalogue(first_party_only=True).offers
    if offer.kind != "preset"
]


@pytest.mark.parametrize(("kind", "name"), FIRST_PARTY)
def test_every_first_party_implementation_imports(kind: str, name: str) -> None:
    catalogue = load_catalogue(first_party_only=True)
    spec = catalogue.offer(kind, name).spec
    if kind == "remote":
        spec = replace(spec, requires=())  # the library of a store is fsspec's to import
    assert catalogue.implementation(spec) is not None


def test_the_first_answer_wins_and_none_passes_on() -> None:
    catalogue = made_of(
        silent=answering(None), lab=answering(FOUND), later=answering(OTHER), deaf=plugin_of()
    )
    assert catalogue.resolve_base("lab:x") is FOUND


def test_nobody_knows_the_base() -> None:
    assert made_of(silent=answering(None)).resolve_base("lab:x") is None


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (RuntimeError("boom"), "adapterhub_resolve_base failed: RuntimeError: boom"),
        ("/srv/x", "adapterhub_resolve_base returned str, no ResolvedBase"),
    ],
)
def test_a_plugin_that_misbehaves_is_logged_and_passed_over(
    caplog: pytest.LogCaptureFixture, answer: Any, complaint: str
) -> None:
    catalogue = made_of(bad=answering(answer), lab=answering(FOUND))
    assert catalogue.resolve_base("lab:x") is FOUND
    assert caplog.messages == [f"plugin dist-bad:bad: {complaint}"]


def test_what_a_plugin_tells_the_user_reaches_the_user() -> None:
    error = BaseModelError("known, and not installed", ref="lab:x")
    catalogue = made_of(lab=answering(error), later=answering(OTHER))
    with pytest.raises(BaseModelError) as caught:
        catalogue.resolve_base("lab:x")
    assert caught.value is error


def test_every_plugin_hears_of_an_event(caplog: pytest.LogCaptureFixture) -> None:
    heard = []

    @hookimpl
    def fails(event: dict[str, Any]) -> None:
        raise RuntimeError("boom")

    @hookimpl
    def hears(event: dict[str, Any]) -> None:
        heard.append(event["event"])

    @hookimpl
    def takes_nothing() -> None:
        heard.append("called")

    hooks = {"a": fails, "b": hears, "c": takes_nothing}
    catalogue = made_of(
        **{name: plugin_of(adapterhub_run_event=hook) for name, hook in hooks.items()}
    )
    catalogue.run_event({"event": "started"})
    assert heard == ["started", "called"]
    assert caplog.messages == ["plugin dist-a:a: adapterhub_run_event failed: RuntimeError: boom"]


def test_a_broken_plugin_is_asked_nothing() -> None:
    asked: list[str] = []

    @hookimpl
    def adapterhub_methods() -> int:
        return 3

    @hookimpl
    def adapterhub_resolve_base(ref: str) -> None:
        asked.append(ref)

    plugin = plugin_of(
        adapterhub_methods=adapterhub_methods, adapterhub_resolve_base=adapterhub_resolve_base
    )
    catalogue = made_of(bad=plugin)
    assert catalogue.records[0].status == "broken"
    assert catalogue.resolve_base("lab:x") is None
    assert asked == []


def test_loading_nothing_imports_nothing() -> None:
    assert "no_such_module" not in sys.modules
    offering = plugin_of(adapterhub_methods=hookimpl(lambda: [spec("no_such_module:X")]))
    assert made_of(acme=offering).method("x").implementation == "no_such_module:X"
