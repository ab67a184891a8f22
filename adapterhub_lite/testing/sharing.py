"""What several checks of an offer look at, made once: a training, a saved folder.

A failure is kept as well. It is the fault of the one check that is about it, and the others have
nothing to look at: so a fault fails one check, and not all that come after it.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar

from adapterhub_lite.testing.outcomes import NotApplicableError
from adapterhub_lite.testing.subject import Subject

T = TypeVar("T")

KEPT: Final = 24
"""How many things are kept; each is a tiny model or two."""

_made: OrderedDict[Hashable, Any] = OrderedDict()


def made_once(subject: Subject, what: Hashable, make: Callable[[], T]) -> T:
    """Return what ``make`` returns, calling it the first time alone; it raises what that raised."""
    offer = subject.offer
    key = (str(subject.shared), offer.source.id, offer.kind, offer.spec.name, what)
    if key not in _made:
        while len(_made) >= KEPT:
            _made.popitem(last=False)
        try:
            _made[key] = make()
        except Exception as error:
            _made[key] = error
    found = _made[key]
    if isinstance(found, Exception):
        raise found
    return found  # type: ignore[no-any-return]  # what ``make`` returned


def needed(step: Callable[..., T], owner: str, *arguments: Any) -> T:
    """Return ``step(*arguments)``; where that fails the check has nothing to look at.

    ``owner`` is the check that fails for it.
    """
    try:
        return step(*arguments)
    except NotApplicableError:
        raise
    except Exception as error:
        raise NotApplicableError(f"comes after {owner}, which fails") from error
