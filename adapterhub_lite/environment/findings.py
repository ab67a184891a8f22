"""What an examination finds."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "fault"]
"""``fault``: something does not work. ``warning``: it works, and not as well as it could."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at: how it is, in a line, and the way out where there is one."""

    area: str
    subject: str
    level: Level
    message: str
    way_out: str = ""
