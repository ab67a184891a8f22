"""What a remote is held to: two small versions go there, and one comes back.

The conformance case says where: ``params={"address": "vault:{folder}"}``, in which ``{folder}``
stands for an empty folder. A place that cannot be made up on one machine has no address: then the
plugin names ``check_has_an_address`` in expected_failures, with the reason.
"""

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from adapterhub_lite.errors import (
    AdapterHubError,
    IntegrityError,
    MissingDependencyError,
    NotFoundError,
    RemoteError,
)
from adapterhub_lite.plugins import one_line
from adapterhub_lite.remotes import pull_version, push_version
from adapterhub_lite.remotes.contract import KeepsSignatures
from adapterhub_lite.specs import RemoteSpec
from adapterhub_lite.testing.outcomes import CheckFailedError, NotApplicableError
from adapterhub_lite.testing.subject import Subject

if TYPE_CHECKING:
    from adapterhub_lite.remotes.contract import Remote
    from adapterhub_lite_registry import Registry, Version

NAME: Final = "tiny"
CONTENT: Final = b"what is never written to its end"


def check_has_an_address(subject: Subject) -> None:
    """There is an address to try, and its scheme is one of the spec's.

    Give one in adapterhub_conformance: params={"address": "vault:{folder}"}. Where the place cannot
    be made up on one machine, name this check in expected_failures.
    """
    spec = _spec(subject)
    for scheme in spec.schemes:
        if scheme != scheme.lower() or ":" in scheme:
            raise CheckFailedError(f"the scheme {scheme!r} is not written like 'vault'")
    address = subject.params.get("address")
    if address is None:
        raise CheckFailedError("there is no address at which it can be tried")
    if str(address).partition(":")[0] not in spec.schemes:
        raise CheckFailedError(f"the address {address!r} has none of its schemes")


def check_gives_back_what_was_pushed(subject: Subject) -> None:
    """A version that was pushed is pulled elsewhere: the same digest, number and alias.

    ``write``, ``write_manifest``, ``publish`` and ``write_alias`` are called in that order.
    """
    registry, address = _pushed(subject)
    other = _registry(subject, "other")
    pulled = pull_version(address, other, subject.catalogue, ref=f"{NAME}@prod")
    expected = registry.resolve(f"{NAME}@2").digest
    if pulled.version.digest != expected:
        raise CheckFailedError("the alias leads to another version than was pushed under it")
    with _opened(subject, address) as remote:
        if list(remote.names()) != [NAME] or sorted(remote.numbers(NAME)) != [1, 2]:
            raise CheckFailedError(
                f"names() is {list(remote.names())}, numbers() is {list(remote.numbers(NAME))}"
            )


def check_nothing_is_replaced(subject: Subject) -> None:
    """A number that is taken stays what it is: ``publish`` says False.

    Versions are immutable; make the reference by an operation that fails where there is one.
    """
    registry, address = _pushed(subject)
    first, second = (registry.resolve(f"{NAME}@{number}").digest for number in (1, 2))
    with _opened(subject, address) as remote:
        if remote.publish(NAME, 1, second):
            raise CheckFailedError("publish says True for a number that is taken")
        if remote.resolve(NAME, 1) != first:
            raise CheckFailedError("publish replaces a version")


def check_alias_moves_by_comparison(subject: Subject) -> None:
    """An alias moves only from where the caller believes it to be.

    Compare with ``expected``, None for an alias that is not there, and say False where it differs.
    """
    _, address = _pushed(subject)
    with _opened(subject, address) as remote:
        if remote.write_alias(NAME, "prod", 1, 1) or remote.read_alias(NAME, "prod") != 2:
            raise CheckFailedError("the alias moves, though it was expected somewhere else")
        if not remote.write_alias(NAME, "prod", 1, 2) or remote.read_alias(NAME, "prod") != 1:
            raise CheckFailedError("the alias does not move from where it was expected")


def check_keeps_signatures(subject: Subject) -> None:
    """Signatures come back with their manifest, each once; this is a remote's own choice.

    Write both methods of KeepsSignatures, or neither: then signed versions are refused.
    """
    registry, address = _pushed(subject)
    version = registry.resolve(f"{NAME}@2")
    signatures = {_signature(version, who) for who in ("ada", "ben")}
    with _opened(subject, address) as remote:
        if not isinstance(remote, KeepsSignatures):
            raise NotApplicableError("it keeps no signatures")
        for data in (*signatures, *signatures):
            remote.write_signature(version.digest, data)
    with _opened(subject, address) as remote:
        assert isinstance(remote, KeepsSignatures), "it was one before"
        found = [b"".join(chunks) for chunks in remote.read_signatures(version.digest)]
        if sorted(found) != sorted(signatures):
            raise CheckFailedError(f"of 2 signatures that were written, {len(found)} are read")
        if list(remote.read_signatures(registry.resolve(f"{NAME}@1").digest)):
            raise CheckFailedError("a version that nobody signed has signatures")


def check_broken_writes_leave_nothing(subject: Subject) -> None:
    """A file whose bytes break off is not there, and the error goes on to the caller.

    Write elsewhere first, and move it into its place when it is whole.
    """
    _, address = _pushed(subject)
    digest = sha256(CONTENT).hexdigest()

    def chunks() -> Iterator[bytes]:
        yield CONTENT[:9]
        raise IntegrityError("the bytes are not those that were promised")

    with _opened(subject, address) as remote:
        try:
            remote.write(digest, len(CONTENT), chunks())
        except AdapterHubError:
            pass
        else:
            raise CheckFailedError("what breaks off while it is written is no error")
    with _opened(subject, address) as remote:
        if remote.has(digest, len(CONTENT)):
            raise CheckFailedError("a file that broke off while it was written is there")


def check_what_is_absent_is_told(subject: Subject) -> None:
    """What is not there is NotFoundError, None, False or nothing, as the contract has it.

    A place that is not there, and is not to be made, is a RemoteError.
    """
    _, address = _pushed(subject)
    digest = sha256(CONTENT).hexdigest()
    with _opened(subject, address) as remote:
        if remote.has(digest, len(CONTENT)):
            raise CheckFailedError("has() says True of a file that was never written")
        if list(remote.numbers("nobody")):
            raise CheckFailedError("numbers() has some for a name that is not there")
        for what, found in (
            ("resolve()", remote.resolve(NAME, 9)),
            ("read_alias()", remote.read_alias(NAME, "nowhere")),
        ):
            if found is not None:
                raise CheckFailedError(f"{what} returns {found!r} for what is not there")
        for read, argument in ((remote.read, digest), (remote.read_manifest, f"sha256:{digest}")):
            _require_not_found(read, argument)


def check_absent_place_is_refused(subject: Subject) -> None:
    """A place that is not there is not laid out by somebody who only reads.

    Raise RemoteError unless ``create`` is given.
    """
    address = _address(subject)
    try:
        with _opened(subject, address) as remote:
            found = list(remote.names())
    except RemoteError:
        return
    except Exception as error:
        raise CheckFailedError(f"it raises {one_line(error)}, not RemoteError") from error
    if found or (subject.folder / "place").exists():
        raise CheckFailedError(
            "a place that is not there is opened, and found with something in it"
        )


def _signature(version: "Version", who: str) -> bytes:
    """Return what has the form of a signature; remotes do not ask whether it is one."""
    from adapterhub_lite_registry.signing import PREDICATE

    named = {"name": f"{version.name}@{version.digest}"}
    statement = json.dumps({"predicateType": PREDICATE, "subject": [named]}).encode()
    return json.dumps({"dsseEnvelope": {"payload": b64encode(statement).decode()}, who: 1}).encode()


def _require_not_found(read: Any, argument: str) -> None:
    try:
        b"".join(read(argument))
    except NotFoundError:
        return
    except Exception as error:
        raise CheckFailedError(
            f"{read.__name__} of what is not there raises {one_line(error)}, not NotFoundError"
        ) from error
    raise CheckFailedError(f"{read.__name__} gives bytes of what is not there")


def _pushed(subject: Subject) -> "tuple[Registry, str]":
    """Push two versions to a new place; return the registry that they are of, and the address."""
    from adapterhub_lite_registry import ManifestDraft

    address = _address(subject)
    registry = _registry(subject, "here")
    for seed in (1, 2):
        files = {"adapter_config.json": b'{"r": %d}' % seed, "notes.txt": b"the same in both"}
        registry.publish(NAME, files, ManifestDraft(kind="adapter", seed=seed))
        alias = "prod" if seed == 2 else None
        push_version(f"{NAME}@{seed}", address, registry, subject.catalogue, alias=alias)
    return registry, address


def _address(subject: Subject) -> str:
    try:
        check_has_an_address(subject)
        assert callable(subject.implementation), "it opens addresses"
    except CheckFailedError as error:
        raise NotApplicableError(f"comes after {check_has_an_address.__name__}") from error
    except MissingDependencyError as error:
        raise NotApplicableError(f"{error.message}; {error.hint}") from error
    place = subject.folder / "place"
    return str(subject.params["address"]).replace("{folder}", str(place))


def _registry(subject: Subject, name: str) -> "Registry":
    from adapterhub_lite_registry import Registry

    return Registry.open(subject.folder / name)


@contextmanager
def _opened(subject: Subject, address: str) -> "Iterator[Remote]":
    remote: Remote = subject.implementation(address, create=False)
    try:
        yield remote
    finally:
        remote.close()


def _spec(subject: Subject) -> RemoteSpec:
    spec = subject.offer.spec
    assert isinstance(spec, RemoteSpec), "the suite gives these checks remotes"
    return spec


CHECKS: Final = (
    check_has_an_address,
    check_gives_back_what_was_pushed,
    check_nothing_is_replaced,
    check_alias_moves_by_comparison,
    check_keeps_signatures,
    check_broken_writes_leave_nothing,
    check_what_is_absent_is_told,
    check_absent_place_is_refused,
)
