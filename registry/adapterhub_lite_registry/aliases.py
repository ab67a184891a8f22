"""Aliases: movable pointers, moved by compare-and-swap and logged.

The log is written before the pointer. A move that a crash cut short between the two is in the
log, but the next entry (or the pointer) shows that it never took effect, so the history leaves
it out.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Final, Literal

from filelock import FileLock
from pydantic import ValidationError

from adapterhub_lite_registry.errors import AliasConflictError, IntegrityError, NotFoundError
from adapterhub_lite_registry.io import FileIO, closing, parent, read_chunks
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.manifest import Record, Timestamp, now
from adapterhub_lite_registry.names import check_alias, check_name
from adapterhub_lite_registry.refs import Ref, RefStore
from adapterhub_lite_registry.temporary import Workspace


class _Any(Enum):
    ANY = "any"


ANY: Final = _Any.ANY
"""For ``expected``: move the alias wherever it points now."""

Expected = int | None | Literal[_Any.ANY]


class AliasMove(Record):
    """One move of an alias; ``None`` stands for "did not exist" and "was removed"."""

    time: Timestamp
    name: str
    alias: str
    before: int | None
    after: int | None


class AliasStore:
    """Moves aliases under one lock, which also keeps a version from being removed meanwhile."""

    def __init__(self, io: FileIO, layout: Layout, refs: RefStore) -> None:
        self._io = io
        self._layout = layout
        self._refs = refs
        self._log = f"{layout.journal}/aliases.log"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lock under which aliases move; the system frees it if the process dies."""
        with FileLock(f"{self._layout.journal}/aliases.lock"):
            yield

    def move(self, name: str, alias: str, number: int | None, expected: Expected) -> None:
        """Point an alias at a version, or remove it for None.

        NotFoundError if the version or the alias to remove does not exist, AliasConflictError if
        the alias does not point to ``expected`` (None: if it exists).
        """
        check_name(name)
        check_alias(alias)
        with self.lock():
            target = None if number is None else self._refs.live(name, number)
            before = self._current(name, alias, removing=target is None)
            if expected is not ANY and before != expected:
                raise _conflict(name, alias, before, expected)
            if before == number and not self._is_damaged(name, alias):
                self._make_durable(name)  # whoever moved it here may have been killed before that
                return
            self._append(AliasMove(time=now(), name=name, alias=alias, before=before, after=number))
            self._point(name, alias, target)

    def roll_back(self, name: str, alias: str) -> AliasMove:
        """Move an alias to where it pointed before its last move; return the move made.

        NotFoundError if it never moved, was new then, or the version is gone; AliasConflictError
        if it is moved meanwhile.
        """
        check_alias(alias)
        moves = self.history(name, alias)
        if not moves or moves[-1].before is None:
            where = f"{name}@{moves[-1].after}" if moves else "nowhere"
            raise NotFoundError(
                f"alias {name}@{alias} has always pointed to {where}"
                if moves
                else f"{name!r} never had an alias {alias!r}",
                hint=f"see: ahl log {name}",
            )
        last = moves[-1]
        self.move(name, alias, last.before, last.after)
        return AliasMove(time=now(), name=name, alias=alias, before=last.after, after=last.before)

    def history(self, name: str, alias: str | None = None) -> list[AliasMove]:
        """Return the moves that took effect, oldest first."""
        check_name(name)
        moves = [move for move in self.logged() if move.name == name]
        return [
            move
            for position, move in enumerate(moves)
            if alias in (None, move.alias) and self._took_effect(move, moves[position + 1 :])
        ]

    def _took_effect(self, move: AliasMove, later: list[AliasMove]) -> bool:
        following = next((other for other in later if other.alias == move.alias), None)
        if following is not None:
            return following.before == move.after
        return self._refs.aliases(move.name).get(move.alias) == move.after

    def _current(self, name: str, alias: str, *, removing: bool) -> int | None:
        """Return where an alias points; a damaged one may be moved or removed, but not compared."""
        try:
            return self._refs.read_alias(name, alias).number
        except NotFoundError:
            if removing:
                raise
            return None
        except IntegrityError:
            return None

    def _is_damaged(self, name: str, alias: str) -> bool:
        return alias in self._refs.alias_names(name) and alias not in self._refs.aliases(name)

    def _point(self, name: str, alias: str, target: Ref | None) -> None:
        path = self._layout.alias(name, alias)
        if target is None:
            self._io.unlink(path)
        else:
            with Workspace(self._io, self._layout.tmp) as work:
                self._io.rename(work.write(target.line()), path)
        self._make_durable(name)

    def _make_durable(self, name: str) -> None:
        folder = self._layout.aliases(name)
        self._io.fsync_dir(folder)
        self._io.fsync_dir(parent(folder))  # the alias folder itself may be new

    def _append(self, move: AliasMove) -> None:
        line = move.model_dump_json().encode() + b"\n"
        with closing(self._io, self._io.append(self._log)) as fd:
            if self._ends_torn():
                line = b"\n" + line
            self._io.write(fd, line)
            self._io.fsync(fd)
        self._io.fsync_dir(self._layout.journal)

    def _ends_torn(self) -> bool:
        last = b"\n"
        for chunk in read_chunks(self._io, self._log):
            last = chunk
        return not last.endswith(b"\n")

    def logged(self) -> Iterator[AliasMove]:
        """Yield the logged moves; a line that a crash cut short is passed over."""
        try:
            data = b"".join(read_chunks(self._io, self._log))
        except FileNotFoundError:
            return
        for line in data.splitlines():
            try:
                yield AliasMove.model_validate_json(line)
            except ValidationError:
                continue


def _conflict(
    name: str, alias: str, before: int | None, expected: int | None
) -> AliasConflictError:
    def spell(number: int | None) -> str:
        return "does not exist" if number is None else f"points to {name}@{number}"

    wanted = "it to be new" if expected is None else f"{name}@{expected}"
    return AliasConflictError(
        f"alias {name}@{alias} {spell(before)}, not where you expected ({wanted})",
        hint="look again: somebody else may have moved it",
    )
