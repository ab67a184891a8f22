"""What a composition is held to: tiny adapters on one base act together by it.

``adapterhub_lite.testing.composition_members`` says what its members are, and how a case gives it
others.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from adapterhub_lite.errors import AdapterHubError, CapabilityError, SelfTestError
from adapterhub_lite.inference.artifact import LEARNT
from adapterhub_lite.plugins import one_line
from adapterhub_lite.predictions import Several
from adapterhub_lite.testing.asking import records, require_no_company, require_order
from adapterhub_lite.testing.composition_members import (
    acting,
    adapter_of_another_task,
    adapter_of_other_labels,
    adapters,
    asked,
    compose,
    composed,
    composed_folder,
    copies,
    load,
    loaded,
    needs_examples,
    plan,
    planned,
    spec_of,
    switch_of,
)
from adapterhub_lite.testing.examples import digests
from adapterhub_lite.testing.files import require_plain_files
from adapterhub_lite.testing.numbers import alike
from adapterhub_lite.testing.outcomes import CheckFailedError, NotApplicableError
from adapterhub_lite.testing.sharing import needed
from adapterhub_lite.testing.subject import Subject

UNSUITABLE: Final[Mapping[str, Callable[[Subject], Path]]] = {
    "an adapter of other labels": adapter_of_other_labels,
    "an adapter of another task": adapter_of_another_task,
}


def check_takes_members(subject: Subject) -> None:
    """check() takes adapters of one method, task and base, with the same labels.

    Where it needs others, or parameters of each, say so in adapterhub_conformance:
    params={"members": [{…}, {…}], "recipe": {"method": …, "objective": …}}.
    """
    try:
        planned(subject)
    except CapabilityError as error:
        raise CheckFailedError(error.message) from error


def check_unsuitable_members_are_refused(subject: Subject) -> None:
    """Beside the others an adapter of other labels, or another task, is refused or works.

    check() is asked before a weight is loaded, and says in a line of text what speaks against the
    members; what it takes has to compose and to answer.
    """
    needed(planned, check_takes_members.__name__, subject)
    default = {} if spec_of(subject).asks_all else {"head": "member-0"}
    for what, other in UNSUITABLE.items():
        folders = [*adapters(subject)[:-1], other(subject)]
        try:
            found = plan(subject, folders, **default)
        except AdapterHubError:
            continue
        except Exception as error:
            raise CheckFailedError(f"of {what} check() raises {one_line(error)}") from error
        try:
            acting(subject, found).predict(asked(subject))
        except Exception as error:
            raise CheckFailedError(
                f"check() says nothing of {what}, and then it raises {one_line(error)}"
            ) from error


def check_composes(subject: Subject) -> None:
    """What check() takes can be composed, and an adapter's files are safetensors and JSON.

    write() writes as the members' method saves an adapter, and load() takes what members give it.
    """
    needed(planned, check_takes_members.__name__, subject)
    try:
        composed(subject)
    except SelfTestError:  # it was composed, and what it answers is the next check's matter
        return
    if spec_of(subject).result == "adapter":
        found = planned(subject)
        found.implementation.write(found.members, found.params, subject.folder)
        require_plain_files(subject.folder, subject.shared)


def check_learns_the_same_each_time(subject: Subject) -> None:
    """One that learns from examples writes the same bytes each time, as safetensors and JSON.

    Draw by a seed of your own, and let nothing depend on the time or on the order of a set.
    """
    needed(planned, check_takes_members.__name__, subject)
    if not needs_examples(subject):
        raise NotApplicableError("it learns nothing")
    first = composed_folder(subject) / LEARNT
    again = subject.folder / "again"
    compose(subject, planned(subject), again)
    require_plain_files(first, subject.shared)
    if digests(first) != digests(again / LEARNT):
        raise CheckFailedError("from the same examples it writes other files than before")


def check_answers_as_its_reference(subject: Subject) -> None:
    """Loaded afresh, one model answers as the reference, which is made in another way.

    ``reference`` merges the members into a base, by code of its own. Without one it is looked at
    that the answers are finite.
    """
    if spec_of(subject).result == "answers":
        raise NotApplicableError("its members answer for themselves")
    needed(planned, check_takes_members.__name__, subject)
    try:
        composed(subject)
    except SelfTestError as error:
        raise CheckFailedError(error.message) from error
    except Exception as error:
        raise NotApplicableError(f"comes after {check_composes.__name__}, which fails") from error


def check_answers_alike_each_time(subject: Subject) -> None:
    """Loaded a second time, into fresh objects, it answers as the first time.

    Draw nothing while it is loaded or asked; what was drawn once belongs into the files.
    """
    inputs = asked(subject)
    first = records(loaded(subject), inputs)
    again = records(load(subject, composed_folder(subject)), inputs)
    for number, (one, other) in enumerate(zip(first, again, strict=True)):
        if not alike(one, other):
            raise CheckFailedError(f"input {number} is answered by {one}, and then by {other}")


def check_answers_each_input_in_order(subject: Subject) -> None:
    """There is one prediction for each input, in their order, and none for none.

    Where members are asked some of the inputs each, put the answers back in their places.
    """
    require_order(loaded(subject), asked(subject))


def check_company_does_not_matter(subject: Subject) -> None:
    """An input is answered alone as it is beside others.

    Choose members, and normalise, input by input and not over the batch.
    """
    needed(check_answers_each_input_in_order, check_answers_each_input_in_order.__name__, subject)
    require_no_company(loaded(subject), asked(subject))


def check_members_stay_as_they_are(subject: Subject) -> None:
    """Composing and asking changes no file of a member, and none of its own answers.

    Members are versions of a registry, which are immutable, and what they share of the base is held
    once: write to no weight of a member's model.
    """
    inputs = asked(subject)
    needed(composed_folder, check_composes.__name__, subject)
    folders = copies(adapters(subject), subject.folder / "members")
    found = plan(subject, folders)
    files = [digests(folder) for folder in folders]
    alone = [records(found.members.scorer(member), inputs) for member in found.members.all]
    acting(subject, found).predict(inputs)
    for folder, old in zip(folders, files, strict=True):
        new = digests(folder)
        if changed := sorted(n for n in old.keys() | new.keys() if old.get(n) != new.get(n)):
            raise CheckFailedError(f"it changes a member's {changed[0]}")
    for member, before in zip(found.members.all, alone, strict=True):
        if not all(map(alike, before, records(found.members.scorer(member), inputs))):
            raise CheckFailedError(f"{member.name} answers alone otherwise than before")


def check_equal_members_answer_as_one(subject: Subject) -> None:
    """Members that are asked alone, and are all one adapter, decide together as that one.

    Whoever is asked, and however answers are combined, there is one answer to choose from; where
    every member's answer is given, it is each of them.
    """
    if spec_of(subject).result != "answers":
        raise NotApplicableError("its members do not answer for themselves")
    needed(composed_folder, check_composes.__name__, subject)
    first, *others = adapters(subject)
    found, inputs = plan(subject, [first] * (1 + len(others))), asked(subject)
    together = acting(subject, found).predict(inputs)
    alone = found.members.scorer(found.members.all[0]).predict(inputs)
    for number, (one, other) in enumerate(zip(alone, together, strict=True)):
        given = other.answers.values() if isinstance(other, Several) else [other]
        if any(one.summary() != answer.summary() for answer in given):
            raise CheckFailedError(
                f"each member answers input {number} by {one.summary()!r}, and together they "
                f"answer {other.summary()!r}"
            )


def check_members_may_be_compositions(subject: Subject) -> None:
    """Members that are asked alone may be compositions: a switch counts as whom it asks.

    Go by what every member has (its task, rows, head and scorer), not by the method or objective
    that only adapters have; or refuse others in check(), in a line of text.
    """
    spec = spec_of(subject)
    if spec.result != "answers" or spec.needs:
        raise NotApplicableError("each of its members has to be one adapter")
    needed(check_answers_alike_each_time, check_answers_alike_each_time.__name__, subject)
    first, *others = adapters(subject)
    folders = [switch_of(subject, first), *others]
    try:
        found = plan(subject, folders)
    except CapabilityError:
        return
    except Exception as error:
        raise CheckFailedError(f"of a switch check() raises {one_line(error)}") from error
    inputs = asked(subject)
    try:
        nested = records(acting(subject, found), inputs)
    except Exception as error:
        raise CheckFailedError(
            f"check() says nothing of a switch, and then it raises {one_line(error)}"
        ) from error
    plain = records(acting(subject, plan(subject, [first, *others])), inputs)
    for number, (one, other) in enumerate(zip(plain, nested, strict=True)):
        if not alike(one, other):
            raise CheckFailedError(
                f"input {number} is answered by {one}, and with a switch that asks the first "
                f"member in its place by {other}"
            )


CHECKS: Final = (
    check_takes_members,
    check_unsuitable_members_are_refused,
    check_composes,
    check_learns_the_same_each_time,
    check_answers_as_its_reference,
    check_answers_alike_each_time,
    check_answers_each_input_in_order,
    check_company_does_not_matter,
    check_members_stay_as_they_are,
    check_equal_members_answer_as_one,
    check_members_may_be_compositions,
)
