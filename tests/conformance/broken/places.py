"""Remotes and report sections with one fault each; what is sound keeps all in a dict."""

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

from adapterhub_lite.errors import NotFoundError, RemoteError
from adapterhub_lite.reports.sections import ReportedRun, Section
from adapterhub_lite.specs import RemoteSpec, ReportSectionSpec
from tests.conformance.broken.entries import Broken

PLACES: dict[str, dict[Any, Any]] = {}


class Sound:
    """A place in this process's memory."""

    def __init__(self, address: str, *, create: bool) -> None:
        if address not in PLACES and not create:
            raise RemoteError("there is no such place", remote=address)
        self.held = PLACES.setdefault(address, {})

    def has(self, sha256: str, size: int) -> bool:
        return len(self.held.get(("blob", sha256), b"")) == size

    def read(self, sha256: str) -> Iterable[bytes]:
        return [self._found("blob", sha256)]

    def write(self, sha256: str, size: int, chunks: Iterable[bytes]) -> None:
        self.held["blob", sha256] = b"".join(chunks)

    def read_manifest(self, digest: str) -> Iterable[bytes]:
        return [self._found("manifest", digest)]

    def write_manifest(self, digest: str, data: bytes) -> None:
        self.held["manifest", digest] = data

    def names(self) -> Sequence[str]:
        return sorted({key[1] for key in self.held if key[0] == "version"})

    def numbers(self, name: str) -> Sequence[int]:
        return [key[2] for key in self.held if key[:2] == ("version", name)]

    def resolve(self, name: str, number: int) -> str | None:
        return self.held.get(("version", name, number))

    def publish(self, name: str, number: int, digest: str) -> bool:
        return bool(self.held.setdefault(("version", name, number), digest) == digest)

    def read_alias(self, name: str, alias: str) -> int | None:
        return self.held.get(("alias", name, alias))

    def write_alias(self, name: str, alias: str, number: int, expected: int | None) -> bool:
        if self.read_alias(name, alias) != expected:
            return False
        self.held["alias", name, alias] = number
        return True

    def close(self) -> None:
        """Hold nothing."""

    def _found(self, *key: str) -> bytes:
        if key not in self.held:
            raise NotFoundError(f"there is no {key[0]} {key[1]}")
        return bytes(self.held[key])


class ForgetsNumbers(Sound):
    def numbers(self, name: str) -> Sequence[int]:
        return super().numbers(name)[-1:]


class Replaces(Sound):
    def publish(self, name: str, number: int, digest: str) -> bool:
        self.held["version", name, number] = digest
        return True


class MovesAnyway(Sound):
    def write_alias(self, name: str, alias: str, number: int, expected: int | None) -> bool:
        self.held["alias", name, alias] = number
        return True


class LosesSignatures(Sound):
    def read_signatures(self, digest: str) -> Iterable[Iterable[bytes]]:
        return [[self.held["signature", digest]]] if ("signature", digest) in self.held else []

    def write_signature(self, digest: str, data: bytes) -> None:
        self.held["signature", digest] = data


class KeepsHalves(Sound):
    def write(self, sha256: str, size: int, chunks: Iterable[bytes]) -> None:
        self.held["blob", sha256] = bytes(size)
        super().write(sha256, size, chunks)


class LeaksKeyErrors(Sound):
    def _found(self, *key: str) -> bytes:
        return bytes(self.held[key])


class LaysOutForReaders(Sound):
    def __init__(self, address: str, *, create: bool) -> None:
        if address not in PLACES and not create:
            raise FileNotFoundError(address)
        super().__init__(address, create=create)


def open_forgets(address: str, *, create: bool) -> Sound:
    return ForgetsNumbers(address, create=create)


def open_replaces(address: str, *, create: bool) -> Sound:
    return Replaces(address, create=create)


def open_moves(address: str, *, create: bool) -> Sound:
    return MovesAnyway(address, create=create)


def open_loses(address: str, *, create: bool) -> Sound:
    return LosesSignatures(address, create=create)


def open_halves(address: str, *, create: bool) -> Sound:
    return KeepsHalves(address, create=create)


def open_leaks(address: str, *, create: bool) -> Sound:
    return LeaksKeyErrors(address, create=create)


def open_lays_out(address: str, *, create: bool) -> Sound:
    return LaysOutForReaders(address, create=create)


TIMES = count()


def says_nothing_right(run: ReportedRun) -> Any:
    return "a text"


def needs_events(run: ReportedRun) -> Section:
    return Section(title="Events", paragraphs=(str(run.events[0]["event"]),))


def counts_calls(run: ReportedRun) -> Section:
    return Section(title=f"Made {next(TIMES)} times before")


def _remote(fault: str, opener: str, check: str, says: str, **params: Any) -> Broken:
    spec = RemoteSpec(
        name="broken",
        summary="A dict.",
        implementation=f"{__name__}:{opener}",
        schemes=("dict",),
    )
    given = params or {"address": "dict:{folder}"}
    return Broken(fault=fault, kind="remote", spec=spec, check=check, says=says, params=given)


def _section(fault: str, function: str, check: str, says: str) -> Broken:
    spec = ReportSectionSpec(
        name="broken",
        summary="A section with a fault.",
        implementation=f"{__name__}:{function}",
    )
    return Broken(fault=fault, kind="report section", spec=spec, check=check, says=says)


BROKEN = (
    _remote(
        "has the address of another",
        "open_forgets",
        "check_has_an_address",
        "none of its schemes",
        address="elsewhere:{folder}",
    ),
    _remote("forgets numbers", "open_forgets", "check_gives_back_what_was_pushed", "numbers()"),
    _remote("replaces versions", "open_replaces", "check_nothing_is_replaced", "says True"),
    _remote("moves aliases anyway", "open_moves", "check_alias_moves_by_comparison", "alias moves"),
    _remote("keeps one signature", "open_loses", "check_keeps_signatures", "1 are read"),
    _remote("keeps halves", "open_halves", "check_broken_writes_leave_nothing", "is there"),
    _remote("lets errors through", "open_leaks", "check_what_is_absent_is_told", "KeyError"),
    _remote(
        "raises errors of the system",
        "open_lays_out",
        "check_absent_place_is_refused",
        "not RemoteError",
    ),
    _section("returns a text", "says_nothing_right", "check_makes_a_section", "not Section"),
    _section("needs events", "needs_events", "check_bears_a_run_without_events", "IndexError"),
    _section("counts its calls", "counts_calls", "check_repeats", "is another"),
)
