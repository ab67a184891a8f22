"""Signatures go along with versions, and a registry that asks for one takes in no other."""

import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.deployment import import_folder
from adapterhub_lite.errors import IntegrityError, RemoteError, SignatureError
from adapterhub_lite.remotes import pull_version, push_version, sync_remote
from adapterhub_lite_registry import Config, KeySigner, Registry, Version
from tests.unit.remotes.liar import SPEC, Liar, offering
from tests.unit.remotes.oci_registry import OciRegistry, serving


@pytest.fixture(params=["file", "bundle", "memory", "oci"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Name an empty place of each kind that keeps signatures."""
    places = {
        "file": f"file:{tmp_path}/place",
        "bundle": f"bundle:{tmp_path}/place.tar",
        "memory": f"memory://{uuid.uuid4().hex}/adapters",
    }
    if request.param in places:
        yield places[request.param]
    else:
        with serving(OciRegistry()) as host:
            yield f"oci://{host}/acme/tickets"


def signer(folder: Path, name: str) -> KeySigner:
    file = folder / f"{name}.key"
    key = ec.generate_private_key(ec.SECP256R1())
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return KeySigner(file)


@pytest.fixture
def ada(tmp_path: Path) -> KeySigner:
    return signer(tmp_path, "ada")


@pytest.fixture
def strict(there: Registry, ada: KeySigner) -> Registry:
    """Return another person's registry, which asks for Ada's signature."""
    there.configure(Config(require_signature=True, trusted_keys=(ada.public_key().pem,)))
    return there


def test_a_signature_goes_along(
    publish: Any,
    here: Registry,
    strict: Registry,
    ada: KeySigner,
    catalogue: Catalogue,
    address: str,
) -> None:
    version = publish()
    here.signatures.sign(version, ada)
    assert push_version("support", address, here, catalogue, alias="prod").signatures == 1
    pulled = pull_version(address, strict, catalogue, ref="support@prod")
    assert (pulled.signatures, pulled.version.digest) == (1, version.digest)
    assert strict.signatures.verify(pulled.version) == ada.public_key()
    assert strict.path(pulled.version).is_dir()
    assert strict.fsck(read_data=True).problems == ()


def test_a_signature_comes_after_its_version(
    publish: Any, here: Registry, there: Registry, ada: KeySigner, catalogue: Catalogue,
    address: str, tmp_path: Path,
) -> None:  # fmt: skip
    versions = [publish(seed=seed) for seed in range(2)]
    for version in versions:
        push_version(str(version), address, here, catalogue)
    assert pull_version(address, there, catalogue).signatures == 0
    for who in (ada, signer(tmp_path, "ben")):
        here.signatures.sign(versions[1], who)
        assert not push_version("support", address, here, catalogue).new
    pulled = pull_version(address, there, catalogue)
    assert (pulled.new, pulled.signatures) == (False, 2)
    assert there.signatures.verify(pulled.version, [ada.public_key()]) == ada.public_key()
    assert pull_version(address, there, catalogue, ref="support@1").signatures == 0


def test_who_asks_for_signatures_pulls_no_other(
    publish: Any, here: Registry, strict: Registry, catalogue: Catalogue, address: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    version = publish()
    push_version("support", address, here, catalogue)
    match = r"support@1 of .*: it is not signed; this registry asks"
    with pytest.raises(SignatureError, match=match):
        pull_version(address, strict, catalogue)
    here.signatures.sign(version, signer(tmp_path, "eve"))
    push_version("support", address, here, catalogue)
    with pytest.raises(SignatureError, match="not shown to be by the key"):
        sync_remote(address, strict, catalogue, direction="pull")
    assert strict.names() == []


def test_under_another_name_it_is_another_version(
    publish: Any, here: Registry, strict: Registry, ada: KeySigner, catalogue: Catalogue,
    tmp_path: Path,
) -> None:  # fmt: skip
    here.signatures.sign(publish(), ada)
    push_version("support", f"file:{tmp_path}/place", here, catalogue)
    with pytest.raises(SignatureError, match="under another name brings no signature"):
        pull_version(f"file:{tmp_path}/place", strict, catalogue, name="mine")
    assert strict.names() == []


def test_nothing_is_pushed_into_a_registry_that_asks(
    publish: Any, here: Registry, strict: Registry, ada: KeySigner, catalogue: Catalogue
) -> None:
    version = publish()
    place = f"file:{strict.home}"
    with pytest.raises(SignatureError, match="support@1: it is not signed"):
        push_version("support", place, here, catalogue)
    assert strict.names() == []
    here.signatures.sign(version, ada)
    assert push_version("support", place, here, catalogue).new


def test_who_asks_for_signatures_imports_nothing(
    strict: Registry, catalogue: Catalogue, tmp_path: Path
) -> None:
    with pytest.raises(SignatureError, match="brings no signature"):
        import_folder(tmp_path, "mine", None, strict, catalogue)


class Notary(Liar):
    """A liar that keeps signatures, or says so."""

    def __init__(self, *signatures: Iterable[bytes]) -> None:
        super().__init__()
        self.signatures = signatures

    def read_signatures(self, digest: str) -> Iterable[Iterable[bytes]]:
        return self.signatures

    def write_signature(self, digest: str, data: bytes) -> None:
        raise AssertionError("nobody pushes here")


def pull_from(place: Liar, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.unit.remotes.liar.LIAR", place)
    pull_version("liar:x", registry, Catalogue([offering(SPEC)]))


def signature(publish: Any, here: Registry, ada: KeySigner) -> bytes:
    version: Version = publish()
    here.signatures.sign(version, ada)
    return here.signatures.of(version.digest)[0][0]


def test_signatures_are_not_believed(
    publish: Any, here: Registry, there: Registry, ada: KeySigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = signature(publish, here, ada)
    endless: Iterable[bytes] = iter(lambda: bytes(1 << 20), b"")
    for lies, match in (
        ([[b"{}"]], "one is damaged"),
        ([[real]], "one is of another version"),
        ([endless], "too large"),
    ):
        place = Notary(*lies)
        place.offer()
        with pytest.raises(IntegrityError, match=match):
            pull_from(place, there, monkeypatch)
    assert there.names() == []


def test_before_the_signature_no_file_is_asked_for(
    publish: Any, here: Registry, strict: Registry, ada: KeySigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Notary()
    digest = place.offer()
    (manifest,) = place.manifests[digest]
    with pytest.raises(SignatureError, match="not signed"):
        pull_from(place, strict, monkeypatch)
    assert place.read_bytes == len(manifest)


def test_a_place_without_signatures_refuses_signed_versions(
    publish: Any, here: Registry, ada: KeySigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, lies = Liar(), Catalogue([offering(SPEC)])
    monkeypatch.setattr("tests.unit.remotes.liar.LIAR", place)
    publish(seed=1)
    here.signatures.sign(publish(seed=2), ada)
    assert push_version("support@1", "liar:x", here, lies).new
    with pytest.raises(RemoteError, match="support@2 is signed, and liar:x keeps no signatures"):
        push_version("support@2", "liar:x", here, lies)
    assert place.numbers("support") == [1]
    assert push_version("support@2", "liar:x", here, lies, unsigned=True).new


def test_a_damaged_signature_is_not_pushed(
    publish: Any, here: Registry, ada: KeySigner, catalogue: Catalogue, tmp_path: Path
) -> None:
    here.signatures.sign(publish(), ada)
    (file,) = here.home.glob("signatures/*/*")
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match="not what was written"):
        push_version("support", f"file:{tmp_path}/place", here, catalogue)
