"""Every hook's example works, and docs/hooks.md is what the hooks' own docstrings say.

After changing a hook, write the page anew: ``python tests/unit/plugins/test_docs.py``.
"""

import ast
import inspect
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.hookspecs import HookSpecs
from adapterhub_lite.plugins import PluginSource
from adapterhub_lite.plugins.admitted import KINDS
from adapterhub_lite.specs import TARGET_ROLES, ResolvedBase

PAGE = Path(__file__).parents[3] / "docs" / "hooks.md"
ASKED = (
    "adapterhub_resolve_base",
    "adapterhub_target_modules",
    "adapterhub_run_event",
    "adapterhub_conformance",
)
"""The hooks that collect nothing by name."""
HOOKS = [name for name in vars(HookSpecs) if name.startswith("adapterhub_")]

INTRODUCTION = """\
# Hooks

A plugin is a module of your own distribution, named by an entry point of the group
`adapterhub_lite`:

```toml
[project.entry-points.adapterhub_lite]
my-plugin = "my_plugin"
```

The module implements any of the hooks below, marked with `@hookimpl`, and returns *specs*: frozen
records that say what is offered, what it can do, and where its code is
(`implementation="package.module:Class"`, imported only when it is used). Import nothing heavy in
the module itself: every command loads it. An implementation may take any subset of a hook's
arguments. What the code behind a spec must offer stands in `adapterhub_lite.protocols`.

A module that relies on an addition to hooks, specs or protocols says from which version of the
plugin API on it works (`adapterhub_lite.hookspecs.API_VERSION` is the one installed):

```python
adapterhub_api = 1
```

An older adapterhub-lite then refuses the plugin with a line that says so, instead of failing inside
it. Require the release as well (`dependencies = ["adapterhub-lite>=…"]`): the line names it.

`ahl plugins list` shows what was found. A plugin that fails to load, returns the wrong thing or
misspells a hook is listed there as broken, with its error, and stops nothing else. A name that two
distributions offer is a conflict: using it is an error that names both. `ADAPTERHUB_LITE_PLUGINS`
is a comma-separated list of the only distributions or entry points that may load beside ours;
`--no-plugins` loads ours alone.

A distribution may also bring a command, as an entry point to a click command. It is found by its
name when somebody runs it:

```toml
[project.entry-points."adapterhub_lite.commands"]
my-command = "my_plugin.cli:command"
```

This page is written from the hooks' docstrings by `python tests/unit/plugins/test_docs.py`.
"""


def docstring(hook: str) -> tuple[str, str]:
    """Return a hook's words and its example, which the docstring parts by ``::``."""
    text = inspect.cleandoc(getattr(HookSpecs, hook).__doc__ or "")
    words, _, example = text.partition("\n::\n")
    return words.strip(), textwrap.dedent(example).strip()


def signature(hook: str) -> str:
    """Return a hook's definition as its source spells it, without self."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(HookSpecs)))
    (found,) = (
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == hook
    )
    found.args.args = found.args.args[1:]
    return f"def {hook}({ast.unparse(found.args)}) -> {ast.unparse(found.returns or ast.Name('?'))}"


def page() -> str:
    """Return docs/hooks.md as it should be."""
    sections = []
    for hook in HOOKS:
        words, example = docstring(hook)
        sections.append(
            f"## {hook}\n\n```python\n{signature(hook)}\n```\n\n{words}\n\n"
            f"```python\n{example}\n```\n"
        )
    return "\n".join([INTRODUCTION, *sections])


def module_of(hook: str) -> ModuleType:
    """Run a hook's example as a module."""
    module = ModuleType(f"example_of_{hook}")
    exec(compile(docstring(hook)[1], hook, "exec"), vars(module))
    return module


@pytest.fixture(params=HOOKS)
def hook(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_page_is_up_to_date() -> None:
    update = "write it anew: python tests/unit/plugins/test_docs.py"
    assert PAGE.read_text(encoding="utf-8") == page(), update


def test_the_page_has_each_literal_signature(hook: str) -> None:
    assert f"```python\n{signature(hook)}\n```" in PAGE.read_text(encoding="utf-8")


def test_signatures_are_read_as_written() -> None:
    assert signature("adapterhub_methods") == "def adapterhub_methods() -> Iterable[MethodSpec]"
    assert signature("adapterhub_resolve_base") == (
        "def adapterhub_resolve_base(ref: str) -> ResolvedBase | None"
    )


def test_each_docstring_is_a_sentence_and_an_example(hook: str) -> None:
    words, example = docstring(hook)
    assert words.endswith((".", "``."))
    assert f"@hookimpl\ndef {hook}(" in example


def test_each_example_loads_without_error(hook: str) -> None:
    module = module_of(hook)
    catalogue = Catalogue([PluginSource("example", "example", "1.0", lambda: module)])
    assert [record.error for record in catalogue.records] == [""]
    collected = [offer.kind for offer in catalogue.offers]
    assert collected == [kind for kind, (name, _) in KINDS.items() if name == hook]


def test_each_collecting_hook_is_a_kind_and_each_kind_a_hook() -> None:
    collecting = {name for name, _ in KINDS.values()}
    assert set(HOOKS) - collecting == set(ASKED)
    assert collecting <= set(HOOKS)


def test_the_example_that_answers_answers() -> None:
    module = module_of("adapterhub_resolve_base")
    catalogue = Catalogue([PluginSource("example", "example", "1.0", lambda: module)])
    assert catalogue.resolve_base("lab:tiny") == (
        ResolvedBase(ref="lab:tiny", path="/srv/models/tiny", source="lab")
    )
    assert catalogue.resolve_base("minilm") is None


def test_the_example_that_knows_an_architecture_tells_of_it() -> None:
    module = module_of("adapterhub_target_modules")
    catalogue = Catalogue([PluginSource("example", "example", "1.0", lambda: module)])
    told = {role: catalogue.target_modules("distilbert", role) for role in TARGET_ROLES}
    assert told["query-value"] == ["q_lin", "v_lin"]
    assert told["feed-forward-output"] == ["layer.*.ffn.lin2"]
    assert told["norm"] is None
    assert catalogue.target_modules("bert", "query-value") is None


def test_the_example_that_follows_a_run_follows_it(caplog: pytest.LogCaptureFixture) -> None:
    module: Any = module_of("adapterhub_run_event")
    told: list[str] = []
    module.notify = told.append
    catalogue = Catalogue([PluginSource("example", "example", "1.0", lambda: module)])
    catalogue.run_event({"event": "started"})
    catalogue.run_event({"event": "published", "version": "support@1"})
    assert told == ["support@1 is ready"]
    assert caplog.messages == []


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
