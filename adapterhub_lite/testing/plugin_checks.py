"""What a plugin itself is held to, beside what it offers: its module, other hooks, commands.

The offer under check stands for the plugin: its name is the entry point's, and its source is real.
"""

from types import MappingProxyType
from typing import Any, Final

import pluggy

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import nearest_name
from adapterhub_lite.hookspecs import PROJECT, HookSpecs
from adapterhub_lite.plugins import one_line
from adapterhub_lite.plugins.commands import command_sources, load_command
from adapterhub_lite.specs import TARGET_ROLES, ResolvedBase
from adapterhub_lite.testing.importing import Imported, imported_alone
from adapterhub_lite.testing.outcomes import CheckFailedError, NotApplicableError
from adapterhub_lite.testing.spec_checks import HEAVY
from adapterhub_lite.testing.subject import Subject

STRANGE_REFS: Final = ("no-such-scheme:nothing", "/no/such/folder", "nothing-of-that-name@9", "")
"""What nobody's base is called."""
EVENTS: Final = (
    {"event": "published", "version": "tickets@1"},
    {"event": "an-event-of-tomorrow"},
    {"event": "step", "stage": "train", "done": 1, "total": 2, "loss": 0.5},
)


def check_loads_quietly(subject: Subject) -> None:
    """Nothing is printed when the plugin is loaded.

    Its output would mix with that of the command that is running: take the print away, or log.
    """
    if printed := _imported(subject).printed:
        raise CheckFailedError(f"it prints when it is loaded: {printed.splitlines()[0][:60]!r}")


def check_loads_lightly(subject: Subject) -> None:
    """The plugin's module imports neither torch nor another heavy library.

    Every command loads every plugin. Import within the functions that need it.
    """
    if any(offer.source.id == subject.offer.source.id for offer in subject.catalogue.offers):
        raise NotApplicableError("checked with what it offers")
    if found := sorted(_imported(subject).packages & HEAVY):
        raise CheckFailedError(f"loading the plugin imports {', '.join(found)}")


def check_hooks_are_known(subject: Subject) -> None:
    """Every function that is called like a hook is one, and is marked with ``@hookimpl``.

    What begins with ``adapterhub_`` and is no hook is never called: mend its name.
    """
    known = [name for name in vars(HookSpecs) if name.startswith("adapterhub_")]
    plugin = subject.offer.source.load()
    for name in dir(plugin):
        if not name.startswith("adapterhub_") or not callable(getattr(plugin, name)):
            continue
        if name not in known:
            near = nearest_name(name, known)
            raise CheckFailedError(
                f"{name} is no hook, and is never called", hint=f"did you mean {near}?" * bool(near)
            )


def check_offers_are_the_same_again(subject: Subject) -> None:
    """Asked a second time, the plugin offers the same.

    Yield from the hook, or return a tuple; an iterator that is made once is empty the second time.
    """
    source = subject.offer.source
    before = [offer for offer in subject.catalogue.offers if offer.source.id == source.id]
    first, second = (
        [(offer.kind, offer.spec.name) for offer in offers]
        for offers in (before, Catalogue([source]).offers)
    )
    if first != second:
        raise CheckFailedError(f"it offers {len(first)} things, and then {len(second)}")


def check_cases_are_of_its_offers(subject: Subject) -> None:
    """Every conformance case is of something that the plugin offers.

    A case with another kind or name is never looked at: mend them.
    """
    source = subject.offer.source
    own = [offer for offer in subject.catalogue.offers if offer.source.id == source.id]
    names = {(offer.kind, offer.spec.name) for offer in own} | {("plugin", source.name)}
    for case in subject.catalogue.conformance_cases(source.id):
        if (case.kind, case.name) not in names:
            raise CheckFailedError(f"a case is of the {case.kind} {case.name!r}, which it lacks")


def check_strange_bases_are_left_alone(subject: Subject) -> None:
    """``adapterhub_resolve_base`` returns None for what is not its own, and raises nothing.

    Look at the beginning of ``ref`` first; the next plugin is asked after None.
    """
    hook = _implemented(subject, "adapterhub_resolve_base")
    for ref in STRANGE_REFS:
        try:
            found = hook(ref=ref)
        except Exception as error:
            raise CheckFailedError(f"for {ref!r} it raises {one_line(error)}") from error
        if found is not None:
            what = "a base" if isinstance(found, ResolvedBase) else type(found).__name__
            raise CheckFailedError(f"for {ref!r}, which is nobody's, it returns {what}")


def check_strange_architectures_are_left_alone(subject: Subject) -> None:
    """``adapterhub_target_modules`` returns None for an architecture that it does not know.

    Return names for the types of your table alone.
    """
    hook = _implemented(subject, "adapterhub_target_modules")
    for role in TARGET_ROLES:
        try:
            found = hook(model_type="no-such-architecture", role=role)
        except Exception as error:
            raise CheckFailedError(f"for the role {role} it raises {one_line(error)}") from error
        if found is not None:
            raise CheckFailedError(f"for an architecture that there is not it returns {found!r}")


def check_any_event_is_borne(subject: Subject) -> None:
    """``adapterhub_run_event`` takes events of any kind, also such as do not exist yet.

    Look at ``event["event"]`` first, and at the fields of the kinds that you follow.
    """
    hook = _implemented(subject, "adapterhub_run_event")
    for event in EVENTS:
        try:
            hook(event=MappingProxyType(event))
        except Exception as error:
            raise CheckFailedError(
                f"at the event {event['event']!r} it raises {one_line(error)}"
            ) from error


def check_commands(subject: Subject) -> None:
    """Every command of the distribution is a click command with a line of help.

    ``@click.command(short_help="…")``; ``ahl NAME --help`` has to work.
    """
    from click.testing import CliRunner

    names = [
        source.name
        for source in command_sources()
        if source.distribution == subject.offer.source.distribution and source.barrier is None
    ]
    if not names:
        raise NotApplicableError("it brings no commands")
    for name in names:
        try:
            command = load_command(name)
        except Exception as error:
            raise CheckFailedError(str(error)) from error
        assert command is not None, "it is declared"
        if not command.get_short_help_str().strip():
            raise CheckFailedError(f"the command {name!r} has no help")
        if CliRunner().invoke(command, ["--help"]).exit_code:
            raise CheckFailedError(f"the command {name!r} fails to show its help")


def _implemented(subject: Subject, hook: str) -> Any:
    """Return a hook's caller that asks this plugin alone."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(HookSpecs)
    manager.register(subject.offer.source.load())
    caller = getattr(manager.hook, hook)
    if not caller.get_hookimpls():
        raise NotApplicableError(f"it does not implement {hook}")
    return caller


def _imported(subject: Subject) -> Imported:
    plugin = subject.offer.source.load()
    module = getattr(plugin, "__name__", None) or type(plugin).__module__
    found = imported_alone(module)
    if found is None:
        raise NotApplicableError(f"{module!r} is no module that can be imported by its name")
    return found


CHECKS: Final = (
    check_loads_quietly,
    check_loads_lightly,
    check_hooks_are_known,
    check_offers_are_the_same_again,
    check_cases_are_of_its_offers,
    check_strange_bases_are_left_alone,
    check_strange_architectures_are_left_alone,
    check_any_event_is_borne,
    check_commands,
)
