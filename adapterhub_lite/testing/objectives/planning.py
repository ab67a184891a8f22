"""What an objective says of rows before a model is loaded."""

from typing import Final

from adapterhub_lite.testing.models import MODELS, architecture
from adapterhub_lite.testing.objectives.workbench import families_of, head_of, spec_of
from adapterhub_lite.testing.outcomes import CheckFailedError
from adapterhub_lite.testing.rows import bad_rows_of, rows_of
from adapterhub_lite.testing.subject import Subject

LABELLED: Final = frozenset({"labelled-text", "tagged-words"})


def check_good_rows_are_taken(subject: Subject) -> None:
    """check() says nothing against eighteen good rows of the kind that the spec declares.

    It returns a list of reasons, which is empty here.
    """
    reasons = subject.implementation.check(rows_of(spec_of(subject).rows), subject.settled)
    if isinstance(reasons, str) or reasons:
        raise CheckFailedError(f"check() says {reasons!r}")


def check_bad_rows_are_refused(subject: Subject) -> None:
    """check() says in a line what is wrong with rows that nobody can learn from.

    They all have one label or value, or no answer. It is asked before a model is loaded; without
    it, the run fails late or learns nothing.
    """
    rows, wrong = bad_rows_of(spec_of(subject).rows)
    try:
        reasons = subject.implementation.check(rows, subject.settled)
    except Exception as error:
        raise CheckFailedError(f"check() raises {type(error).__name__}: {error}") from error
    if isinstance(reasons, str):
        raise CheckFailedError(f"check() returns a text, not a list of them: {reasons!r}")
    if not reasons:
        raise CheckFailedError(f"nothing is said of {len(rows)} rows that {wrong}")
    if odd := [text for text in reasons if not isinstance(text, str) or "\n" in text]:
        raise CheckFailedError(f"a reason is no line of text: {odd[0]!r}")


def check_head_suits_the_rows(subject: Subject) -> None:
    """head() asks for the head that the spec declares, with the labels of the rows.

    The plan matches the spec's head with methods and bases, and the loader loads what head() says.
    """
    spec, rows = spec_of(subject), rows_of(spec_of(subject).rows)
    head = head_of(subject)
    if head.kind != spec.head:
        raise CheckFailedError(f"the spec says {spec.head!r}, and head() {head.kind!r}")
    if spec.rows in LABELLED and head.labels != rows.classes:
        raise CheckFailedError(f"the labels are {rows.classes}, and the head's {head.labels}")
    if head != head_of(subject):
        raise CheckFailedError("head() says something else the second time")
    for family in families_of(subject):
        if not architecture(subject, family).has_head(head.kind):
            raise CheckFailedError(
                f"declares {family}, and a {MODELS[family][0]} has no head {head.kind}"
            )


CHECKS: Final = (check_good_rows_are_taken, check_bad_rows_are_refused, check_head_suits_the_rows)
