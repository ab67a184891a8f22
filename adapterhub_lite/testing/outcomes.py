"""What a conformance check says: how it fails, why it does not apply, and how it went."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["passed", "failed", "skipped", "expected", "unexpected"]
"""``expected``: failed, as the plugin said it would. ``unexpected``: it passed in spite of that."""


class CheckFailedError(AssertionError):
    """A check found a fault: one line of what is wrong, and a hint at what to do."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class NotApplicableError(Exception):
    """A check has nothing to look at in this plugin: the reason why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """How one check of one offer went; ``kind`` and ``name`` are the offer's.

    ``message`` is the fault, the reason for a skip, or the reason for which a failure is expected.
    """

    kind: str
    name: str
    check: str
    status: Status
    message: str = ""
    hint: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.status in ("passed", "skipped", "expected")
