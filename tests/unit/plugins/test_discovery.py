"""Which plugins are found and loaded, and what a broken, blocked or conflicting one does."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import PluginConflictError, UnknownNameError
from adapterhub_lite.plugins import (
    PluginSource,
    canonical_name,
    get_catalogue,
    installed_sources,
    load_catalogue,
)

ROOT = Path(__file__).parents[3]


def rows(catalogue: Catalogue, distribution: str) -> list[dict[str, str]]:
    return [row for row in catalogue.listing() if row["distribution"] == distribution]


@pytest.fixture
def broken_row(environment: Any) -> Callable[..., dict[str, str]]:
    """Install one bad plugin module; return its row, once first-party plugins are seen to work."""

    def install_and_list(source: str) -> dict[str, str]:
        environment.install("acme-bad", {"bad": "acme_bad"}, {"acme_bad": source})
        catalogue = load_catalogue()
        assert catalogue.method("full").implementation == "adapterhub_lite_full.method:Full"
        (row,) = rows(catalogue, "acme-bad")
        assert (row["name"], row["kind"], row["status"]) == ("bad", "plugin", "broken")
        assert "\n" not in row["error"]
        return row

    return install_and_list


def test_every_folder_under_plugins_has_an_entry_point() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    modules = {target.partition(":")[0] for target in declared["adapterhub_lite"].values()}
    folders = {path.parent.name for path in (ROOT / "plugins").glob("*/__init__.py")}
    assert folders
    assert modules == folders


def test_first_party_plugins_come_through_their_entry_points() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    ours = {source.name for source in installed_sources() if source.first_party}
    assert ours == set(declared["adapterhub_lite"]), "reinstall: pip install -e ."


def test_first_party_plugins_all_load() -> None:
    records = load_catalogue(first_party_only=True).records
    ours = [record for record in records if record.source.first_party]
    assert [record.error for record in ours] == [""] * len(ours)


def test_a_strangers_plugin_is_found(environment: Any, plugin_source: Any) -> None:
    environment.install(
        "Acme.Bitfit", {"bitfit": "acme_bitfit"}, {"acme_bitfit": plugin_source("bitfit")},
        version="2.1",
    )  # fmt: skip
    catalogue = load_catalogue()
    assert catalogue.method("bitfit").summary == "A method."
    assert rows(catalogue, "acme-bitfit") == [
        {
            "name": "bitfit",
            "kind": "method",
            "distribution": "acme-bitfit",
            "version": "2.1",
            "status": "ok",
            "error": "",
            "note": "",
        }
    ]


def test_a_plugin_may_be_an_object_of_a_module(environment: Any, plugin_source: Any) -> None:
    code = (
        "class Plugin:\n    @hookimpl\n    def adapterhub_methods(self):\n"
        "        yield MethodSpec(name='bitfit', summary='')\nplugin = Plugin()\n"
    )
    environment.install("acme", {"x": "acme:plugin"}, {"acme": plugin_source(code=code)})
    assert load_catalogue().method("bitfit").name == "bitfit"


def test_a_distribution_shadowed_on_the_path_counts_once(
    environment: Any, plugin_source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment.install("acme", {"x": "acme"}, {"acme": plugin_source("bitfit")}, version="1.0")
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.syspath_prepend(other)
    environment.folder = other
    environment.install("acme", {"x": "acme"}, {"acme": plugin_source("bitfit")}, version="2.0")
    assert [row["version"] for row in rows(load_catalogue(), "acme")] == ["2.0"]


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import no_such_library\n", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("1 +\n", "SyntaxError: "),
        ("raise RuntimeError('first\\nsecond')\n", "RuntimeError: first"),
        ("import sys\nsys.exit('bye')\n", "SystemExit: bye"),
    ],
)
def test_a_plugin_that_does_not_import(broken_row: Any, source: str, error: str) -> None:
    assert broken_row(source)["error"].startswith(error)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("adapterhub_methods():\n    raise RuntimeError('boom')", "RuntimeError: boom"),
        ("adapterhub_methods():\n    return 3", "TypeError: adapterhub_methods returned one int"),
        (
            "adapterhub_methods():\n    return MethodSpec(name='x', summary='')",
            "TypeError: adapterhub_methods returned one MethodSpec, not an iterable",
        ),
        ("adapterhub_methods():\n    pass", "TypeError: adapterhub_methods returned None"),
        (
            "adapterhub_methods():\n    yield ReaderSpec(name='x', summary='')",
            "TypeError: adapterhub_methods returned ReaderSpec, not MethodSpec",
        ),
        (
            "adapterhub_methods():\n    yield MethodSpec(name=None, summary='')",
            "TypeError: adapterhub_methods returned a spec whose name is None",
        ),
        (
            "adapterhub_metods():\n    return []",
            "AttributeError: there is no hook adapterhub_metods; did you mean adapterhub_methods?",
        ),
        ("quite_another():\n    return []", "AttributeError: there is no hook quite_another"),
        ("adapterhub_resolve_base(reference):\n    pass", "PluginValidationError: "),
    ],
)
def test_a_plugin_whose_hook_is_wrong(
    broken_row: Any, plugin_source: Any, code: str, error: str
) -> None:
    row = broken_row(plugin_source(code=f"@hookimpl\ndef {code}\n"))
    assert row["error"].startswith(error)


def test_a_misspelt_specname_is_the_name_complained_of(broken_row: Any, plugin_source: Any) -> None:
    code = "@hookimpl(specname='adapterhub_metods')\ndef anything():\n    return []\n"
    assert (
        "adapterhub_metods; did you mean adapterhub_methods?"
        in (broken_row(plugin_source(code=code))["error"])
    )


def test_a_hook_without_its_mark_is_not_ignored(broken_row: Any, plugin_source: Any) -> None:
    error = broken_row(plugin_source(code="def adapterhub_methods():\n    return []\n"))["error"]
    assert error == "AttributeError: adapterhub_methods is not marked with @hookimpl"


def test_a_plugin_that_fails_late_offers_nothing(environment: Any, plugin_source: Any) -> None:
    code = "@hookimpl\ndef adapterhub_readers():\n    raise RuntimeError('boom')\n"
    source = plugin_source("bitfit", code=code)
    environment.install("acme", {"x": "acme"}, {"acme": source})
    catalogue = load_catalogue()
    assert "bitfit" not in catalogue.names("method")
    assert [row["status"] for row in rows(catalogue, "acme")] == ["broken"]


def test_a_broken_plugin_does_not_stop_its_neighbour(environment: Any, plugin_source: Any) -> None:
    modules = {"acme_bad": "raise RuntimeError('boom')\n", "acme_good": plugin_source("bitfit")}
    environment.install("acme", {"bad": "acme_bad", "good": "acme_good"}, modules)
    catalogue = load_catalogue()
    assert catalogue.method("bitfit").name == "bitfit"
    assert {row["status"] for row in rows(catalogue, "acme")} == {"ok", "broken"}


def test_an_unhashable_plugin_breaks_only_itself(environment: Any, plugin_source: Any) -> None:
    code = "class Plugin:\n    def __eq__(self, other):\n        return True\nplugin = Plugin()\n"
    environment.install("acme", {"x": "acme:plugin"}, {"acme": plugin_source(code=code)})
    environment.install("later", {"y": "later"}, {"later": plugin_source("bitfit")})
    catalogue = load_catalogue()
    assert rows(catalogue, "acme")[0]["error"] == "TypeError: unhashable type: 'Plugin'"
    assert catalogue.method("bitfit").name == "bitfit"


def test_the_allowlist_blocks_what_it_does_not_name(
    environment: Any, plugin_source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment.install("acme", {"x": "acme"}, {"acme": "raise RuntimeError('was imported')\n"})
    environment.install("good-one", {"y": "good_one"}, {"good_one": plugin_source("bitfit")})
    monkeypatch.setenv("ADAPTERHUB_LITE_PLUGINS", " Good_One ,")
    catalogue = load_catalogue()
    (row,) = rows(catalogue, "acme")
    assert (row["status"], row["error"]) == ("blocked", "not in ADAPTERHUB_LITE_PLUGINS")
    ours = load_catalogue(first_party_only=True).names("method")
    assert catalogue.names("method") == sorted([*ours, "bitfit"])


@pytest.mark.parametrize(
    ("value", "loaded"), [("x_y", True), ("X-Y", True), ("acme", True), ("", False)]
)
def test_the_allowlist_takes_either_name(
    environment: Any,
    plugin_source: Any,
    monkeypatch: pytest.MonkeyPatch,
    value: str,
    loaded: bool,
) -> None:
    environment.install("acme", {"x_y": "acme_plugin"}, {"acme_plugin": plugin_source("bitfit")})
    monkeypatch.setenv("ADAPTERHUB_LITE_PLUGINS", value)
    assert ("bitfit" in load_catalogue().names("method")) is loaded


def test_first_party_only(environment: Any) -> None:
    environment.install("acme", {"x": "acme"}, {"acme": "raise RuntimeError('was imported')\n"})
    catalogue = load_catalogue(first_party_only=True)
    (row,) = rows(catalogue, "acme")
    assert (row["status"], row["error"]) == ("blocked", "--no-plugins")
    assert catalogue.method("full").name == "full"


def test_one_entry_point_name_in_two_distributions(environment: Any, plugin_source: Any) -> None:
    environment.install("acme", {"x": "acme_x"}, {"acme_x": plugin_source("one")})
    environment.install("other", {"x": "other_x"}, {"other_x": plugin_source("two")})
    catalogue = load_catalogue()
    assert (catalogue.method("one").name, catalogue.method("two").name) == ("one", "two")


def test_one_method_name_in_two_distributions(environment: Any, plugin_source: Any) -> None:
    environment.install("acme", {"x": "acme_x"}, {"acme_x": plugin_source("bitfit", "mine")})
    environment.install(
        "other", {"y": "other_y"}, {"other_y": plugin_source("bitfit")}, version="3.2"
    )
    catalogue = load_catalogue()
    with pytest.raises(PluginConflictError) as caught:
        catalogue.method("bitfit")
    message = "method 'bitfit' is offered by acme 1.0 and other 3.2"
    assert caught.value.message == message
    assert "ADAPTERHUB_LITE_PLUGINS" in caught.value.hint
    assert catalogue.method("mine").name == "mine"
    ours = load_catalogue(first_party_only=True).names("method")
    assert [offer.spec.name for offer in catalogue.usable("method")] == sorted([*ours, "mine"])
    found = {(row["distribution"], row["name"]): row for row in catalogue.listing()}
    assert found["acme", "bitfit"]["status"] == found["other", "bitfit"]["status"] == "conflict"
    assert found["other", "bitfit"]["error"] == message
    assert found["acme", "mine"]["status"] == "ok"


def test_a_method_named_like_one_of_ours_replaces_nothing(
    environment: Any, plugin_source: Any
) -> None:
    environment.install("acme", {"full": "acme_full"}, {"acme_full": plugin_source("full")})
    with pytest.raises(PluginConflictError, match=r"acme 1\.0 and adapterhub-lite \d"):
        load_catalogue().method("full")
    assert load_catalogue(first_party_only=True).method("full").name == "full"


def test_one_module_behind_two_entry_points_is_named(environment: Any, plugin_source: Any) -> None:
    environment.install("acme", {"x": "acme", "y": "acme"}, {"acme": plugin_source("bitfit")})
    catalogue = load_catalogue()
    assert catalogue.method("bitfit").name == "bitfit"
    assert sorted(row["status"] for row in rows(catalogue, "acme")) == ["broken", "ok"]


def test_an_unknown_name_comes_with_the_nearest() -> None:
    catalogue = load_catalogue(first_party_only=True)
    with pytest.raises(UnknownNameError) as caught:
        catalogue.method("ful")
    assert caught.value.message == "unknown method 'ful'"
    listing, _, rest = caught.value.hint.removeprefix("did you mean 'full'? known: ").partition(
        ", …"
    )
    known = listing.split(", ")
    assert "full" in known
    assert known == sorted(known)
    assert len(known) == 9
    assert set(known) < set(catalogue.names("method"))
    assert rest == " (see: ahl methods list)"
    with pytest.raises(UnknownNameError) as caught:
        catalogue.loader("fp33")
    loaders = ", ".join(catalogue.names("loader"))
    assert caught.value.hint == f"did you mean 'fp32'? known: {loaders}"


def test_a_catalogue_of_ones_own_changes_no_other(environment: Any, plugin_source: Any) -> None:
    environment.install("acme", {"x": "acme"}, {"acme": "raise RuntimeError('later')\n"})
    shared = get_catalogue(first_party_only=True)
    before = shared.listing()
    plugin = ModuleType("mine")
    exec(plugin_source("bitfit"), vars(plugin))
    own = Catalogue([PluginSource("mine", "mine", "1", lambda: plugin)])
    assert own.names("method") == ["bitfit"]
    assert get_catalogue(first_party_only=True) is shared
    assert shared.listing() == before


@pytest.mark.parametrize("name", ["Acme_Tools", "acme.tools", "ACME-tools", "acme--tools"])
def test_distribution_names_are_compared_as_pip_compares_them(name: str) -> None:
    assert canonical_name(name) == "acme-tools"
