"""Version references: which number of a name is which manifest, and which numbers are gone.

A reference is one line, ``sha256:<hex> name@7``. It repeats its own place, so that one which was
moved or swapped is noticed. A removed version leaves ``removed sha256:<hex> name@7`` behind: the
file stays, so its number is never handed out again.
"""

import re
from dataclasses import dataclass

from adapterhub_lite_registry.codec import FSCK_HINT
from adapterhub_lite_registry.errors import IntegrityError, NotFoundError
from adapterhub_lite_registry.io import FileIO, ensure_dir, exists, read_small
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.names import NAME_RULE, nearest_hint

_LINE = re.compile(rf"(removed )?(sha256:[0-9a-f]{{64}}) ({NAME_RULE})@([1-9][0-9]*)\n".encode())
_NAME = re.compile(NAME_RULE)
_NUMBER = re.compile(r"0{0,7}[1-9][0-9]{0,14}")
_LIMIT = 256


@dataclass(frozen=True)
class Ref:
    """One parsed reference."""

    name: str
    number: int
    digest: str
    removed: bool = False

    def __str__(self) -> str:
        return f"{self.name}@{self.number}"

    def line(self) -> bytes:
        """Return the reference as it is stored."""
        gone = "removed " if self.removed else ""
        return f"{gone}{self.digest} {self}\n".encode()


def parse_ref(data: bytes, where: str) -> Ref:
    """Parse a stored reference; IntegrityError if it is not exactly one."""
    found = _LINE.fullmatch(data)
    if found is None:
        raise IntegrityError(f"{where}: the reference is damaged", hint=FSCK_HINT)
    gone, digest, name, number = found.groups()
    return Ref(name.decode(), int(number), digest.decode(), gone is not None)


class RefStore:
    """Reads and writes the references below ``refs/``."""

    def __init__(self, io: FileIO, layout: Layout) -> None:
        self._io = io
        self._layout = layout

    def names(self) -> list[str]:
        """Return every name that has a folder, sorted; some may have no version left."""
        return sorted(entry for entry in self._io.listdir(self._layout.refs) if _is_name(entry))

    def numbers(self, name: str) -> list[int]:
        """Return every number handed out, removed ones too, ascending."""
        try:
            entries = self._io.listdir(self._layout.versions(name))
        except FileNotFoundError:
            return []
        numbers = (version_number(entry) for entry in entries)
        return sorted(number for number in numbers if number is not None)

    def read(self, name: str, number: int) -> Ref:
        """Return one reference; NotFoundError if there is none, IntegrityError if damaged."""
        path = self._layout.version(name, number)
        where = self._layout.relative(path)
        try:
            ref = parse_ref(read_small(self._io, path, _LIMIT), where)
        except FileNotFoundError:
            raise self._unknown(name, number) from None
        if (ref.name, ref.number) != (name, number):
            raise IntegrityError(
                f"{where}: the reference is that of {ref.name}@{ref.number}", hint=FSCK_HINT
            )
        return ref

    def live(self, name: str, number: int) -> Ref:
        """Return a reference that was not removed; NotFoundError otherwise."""
        ref = self.read(name, number)
        if ref.removed:
            raise NotFoundError(f"{name}@{number} was removed")
        return ref

    def newest(self, name: str) -> Ref:
        """Return the newest version's reference; NotFoundError if the name has none."""
        for number in reversed(self.numbers(name)):
            ref = self.read(name, number)
            if not ref.removed:
                return ref
        raise self._unknown_name(name)

    def read_alias(self, name: str, alias: str) -> Ref:
        """Return the version that an alias points to; NotFoundError, or IntegrityError."""
        path = self._layout.alias(name, alias)
        where = self._layout.relative(path)
        try:
            ref = parse_ref(read_small(self._io, path, _LIMIT), where)
        except FileNotFoundError:
            raise self._unknown_alias(name, alias) from None
        if ref.name != name or ref != self.read(name, ref.number):
            raise IntegrityError(
                f"{where}: the alias does not match version {ref.number}", hint=FSCK_HINT
            )
        return ref

    def alias_names(self, name: str) -> list[str]:
        """Return a name's aliases, sorted, damaged ones too."""
        try:
            entries = self._io.listdir(self._layout.aliases(name))
        except FileNotFoundError:
            return []
        return sorted(entry for entry in entries if _is_name(entry))

    def aliases(self, name: str) -> dict[str, int]:
        """Return alias → number; one that is damaged is left to ``fsck``."""
        found = {}
        for alias in self.alias_names(name):
            try:
                found[alias] = self.read_alias(name, alias).number
            except (NotFoundError, IntegrityError):
                continue
        return found

    def prepare(self, name: str) -> None:
        """Make a name's folders durable before its first version is committed.

        The alias folder is made last. Whoever finds it knows that the rest is durable; whoever
        does not syncs for himself, since another process may be just about to.
        """
        layout = self._layout
        if exists(self._io, layout.aliases(name)):
            return
        folder = f"{layout.refs}/{name}"
        ensure_dir(self._io, folder)
        ensure_dir(self._io, layout.versions(name))
        self._io.fsync_dir(folder)
        self._io.fsync_dir(layout.refs)
        ensure_dir(self._io, layout.aliases(name))

    def _unknown_name(self, name: str) -> NotFoundError:
        if self.numbers(name):
            return NotFoundError(f"every version of {name!r} was removed")
        hint = nearest_hint(name, self.names(), "names here") or "the registry is empty"
        return NotFoundError(f"nothing is called {name!r}", hint=hint)

    def _unknown(self, name: str, number: int) -> NotFoundError:
        if not self.numbers(name):
            return self._unknown_name(name)
        return NotFoundError(
            f"{name!r} has no version {number}", hint=f"the newest is {self.newest(name)}"
        )

    def _unknown_alias(self, name: str, alias: str) -> NotFoundError:
        if not self.numbers(name):
            return self._unknown_name(name)
        hint = nearest_hint(alias, self.alias_names(name), "aliases")
        return NotFoundError(
            f"{name!r} has no alias {alias!r}",
            hint=hint or f"set one: ahl alias set {self.newest(name)} {alias}",
        )


def version_number(entry: str) -> int | None:
    """Return the number that a reference's file name stands for, or None if it is no such name."""
    if _NUMBER.fullmatch(entry) and f"{int(entry):08d}" == entry:
        return int(entry)
    return None


def _is_name(entry: str) -> bool:
    return _NAME.fullmatch(entry) is not None
