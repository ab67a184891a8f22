"""What is found to be wrong with what is stored."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["blob", "manifest", "reference", "alias", "index", "other"]


@dataclass(frozen=True)
class Problem:
    """One damaged or missing thing: its path in the registry, and the versions that it hits.

    ``kind`` says what it is and ``sha256``, of a blob or manifest, which bytes should be there.
    """

    path: str
    message: str
    versions: tuple[str, ...] = ()
    kind: Kind = "other"
    sha256: str | None = None

    def __str__(self) -> str:
        hit = f" (hits {', '.join(self.versions)})" if self.versions else ""
        return f"{self.path}: {self.message}{hit}"
