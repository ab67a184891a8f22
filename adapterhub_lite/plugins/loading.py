"""Loading one plugin: watched for what it prints and imports, and refused when it is too new."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from types import ModuleType
from typing import Final, Literal

from adapterhub_lite.errors import AdapterHubError, PluginError, nearest_name
from adapterhub_lite.plugins.discovery import FIRST_PARTY, GROUP, PluginSource, canonical_name
from adapterhub_lite.plugins.faults import one_line

Status = Literal["ok", "broken", "blocked", "disabled"]

HEAVY: Final = (
    "torch",
    "tensorflow",
    "jax",
    "transformers",
    "peft",
    "bitsandbytes",
    "sentence_transformers",
    "setfit",
    "datasets",
    "sklearn",
    "scipy",
    "pandas",
    "pyarrow",
    "matplotlib",
    "safetensors",
    "numpy",
)
"""Libraries that a plugin's own module must not import, since every command loads it."""


@dataclass(slots=True)
class PluginRecord:
    """What became of a plugin: loaded, broken (``error`` says how) or kept from loading.

    ``hooks`` are those that it implements and ``file`` is where it comes from. ``printed`` is what
    it wrote to stdout while it was loaded, and ``heavy`` are the libraries that it was the first
    to import.
    """

    source: PluginSource
    status: Status = "ok"
    error: str = ""
    hooks: tuple[str, ...] = ()
    file: str = ""
    printed: str = ""
    heavy: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """What is amiss with it though it works, in one line."""
        notes = []
        if self.printed:
            notes.append(f"prints when it is loaded: {self.printed.splitlines()[0][:60]!r}")
        if self.heavy:
            notes.append(f"imports {', '.join(self.heavy[:3])} when it is loaded")
        return "; ".join(notes)


@contextmanager
def watched(record: PluginRecord) -> Iterator[None]:
    """Note what a plugin prints and imports while it is loaded."""
    before = set(sys.modules)
    printed = StringIO()
    try:
        with _stdout_to_stderr(), redirect_stdout(printed):
            yield
    finally:
        record.printed = printed.getvalue().strip()
        record.heavy = tuple(n for n in HEAVY if n in sys.modules and n not in before)


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Send what goes past ``sys.stdout``, from C or a child process, where it does no harm."""
    _flush()
    try:
        saved = os.dup(1)
    except OSError:  # the process has no stdout
        yield
        return
    try:
        with suppress(OSError):  # nor a stderr
            os.dup2(2, 1)
        yield
    finally:
        _flush()
        os.dup2(saved, 1)
        os.close(saved)


def _flush() -> None:
    if sys.__stdout__ is not None:
        sys.__stdout__.flush()


def load_plugin(record: PluginRecord) -> object:
    """Import a plugin and return it; raises whatever its import raises, or PluginError.

    PluginError for one that was written for a newer version of the plugin API.
    """
    from adapterhub_lite.hookspecs import API_VERSION

    source = record.source
    record.file = _package_of(source.target)  # for one that fails; the rest are told exactly
    try:
        plugin = source.load()
    except ImportError as error:
        if (error.name or "").partition(".")[0] == GROUP and (needs := _unmet(source)):
            raise PluginError(f"{needs} ({error})", plugin=source.id) from error
        raise
    record.file = file_of(plugin)
    wanted = getattr(plugin, "adapterhub_api", API_VERSION)
    if type(wanted) is not int or wanted < 1:
        raise TypeError(f"adapterhub_api is {wanted!r}, not a whole number from 1 on")
    if wanted > API_VERSION:
        needs = _unmet(source) or f"needs a newer {FIRST_PARTY}; upgrade"
        raise PluginError(
            f"{needs} (written for plugin API {wanted}, and this is {API_VERSION})",
            plugin=source.id,
        )
    return plugin


def explained(error: BaseException) -> str:
    """Return why a plugin is broken: our own words as they are, anything else with its type."""
    return error.message if isinstance(error, AdapterHubError) else one_line(error)


def _package_of(target: str) -> str:
    """Return the file of an entry point's top-level package, which is found without importing."""
    top = target.partition(":")[0].partition(".")[0]
    with suppress(ImportError, ValueError):
        spec = find_spec(top)
        return (spec and spec.origin) or ""
    return ""


def file_of(plugin: object) -> str:
    """Return the file that a plugin's module, or the module of its object, was read from."""
    if not isinstance(plugin, ModuleType):
        kind = plugin if isinstance(plugin, type) else type(plugin)
        plugin = sys.modules.get(kind.__module__)
    return getattr(plugin, "__file__", None) or ""


def _unmet(source: PluginSource) -> str:
    """Say which version of us a plugin's distribution asks for, when it is not this one."""
    from importlib.metadata import PackageNotFoundError, requires, version

    from packaging.requirements import InvalidRequirement, Requirement

    with suppress(PackageNotFoundError, InvalidRequirement):
        for line in requires(source.distribution) or ():
            wanted = Requirement(line)
            if canonical_name(wanted.name) != FIRST_PARTY:
                continue
            here = version(FIRST_PARTY)
            if not wanted.specifier.contains(here, prereleases=True):
                return f"needs {FIRST_PARTY} {wanted.specifier}, and this is {here}; upgrade"
    return ""


def check_hook_names(plugin: object) -> None:
    """Refuse what pluggy would never call: a mark on a name that is no hook, a hook without one."""
    from adapterhub_lite.hookspecs import PROJECT, HookSpecs

    known = [name for name in vars(HookSpecs) if name.startswith("adapterhub_")]
    for name in dir(plugin):
        attribute = getattr(plugin, name, None)
        marked = getattr(attribute, f"{PROJECT}_impl", None)
        if marked and (meant := marked.get("specname") or name) not in known:
            near = nearest_name(meant, known)
            ending = f"; did you mean {near}?" if near else ""
            raise AttributeError(f"there is no hook {meant}{ending}")
        if not marked and name in known and callable(attribute):
            raise AttributeError(f"{name} is not marked with @hookimpl")
