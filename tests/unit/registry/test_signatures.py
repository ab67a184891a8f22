"""Who vouches for a version: signed and checked by model-signing, and asked for where told to."""

import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from model_signing import verifying

from adapterhub_lite_registry import (
    MOST_SIGNATURES,
    Config,
    IntegrityError,
    KeySigner,
    ManifestDraft,
    Registry,
    SignatureError,
    TrustedKey,
    Version,
    codec,
)
from adapterhub_lite_registry.signing import Subject, make_signature

Publish = Callable[..., Version]


def keys(folder: Path, name: str, key: Any = None, password: bytes | None = None) -> Path:
    """Write a key pair, and return where the private half lies."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    locked = BestAvailableEncryption(password) if password else NoEncryption()
    private = folder / f"{name}.key"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    private.with_suffix(".pub").write_bytes(public)
    return private


@pytest.fixture
def ada(tmp_path: Path) -> KeySigner:
    return KeySigner(keys(tmp_path, "ada"))


@pytest.fixture
def eve(tmp_path: Path) -> KeySigner:
    return KeySigner(keys(tmp_path, "eve"))


@pytest.fixture
def signed(registry: Registry, publish: Publish, ada: KeySigner) -> Version:
    version = publish()
    assert registry.signatures.sign(version, ada)
    return version


@pytest.fixture
def strict(registry: Registry, ada: KeySigner) -> Registry:
    """Return the registry, which asks for Ada's signature."""
    registry.configure(Config(require_signature=True, trusted_keys=(ada.public_key().pem,)))
    return registry


def file_of(registry: Registry, version: Version) -> Path:
    (file,) = (registry.home / "signatures" / version.digest.removeprefix("sha256:")).iterdir()
    return file


def test_a_signature_names_its_signer_and_changes_nothing(
    registry: Registry, signed: Version, ada: KeySigner, eve: KeySigner
) -> None:
    trusted = [eve.public_key(), ada.public_key()]
    assert registry.signatures.verify(signed, trusted) == ada.public_key()
    assert registry.resolve(str(signed)).digest == signed.digest
    assert registry.fsck(read_data=True).problems == ()
    assert not registry.signatures.sign(signed, ada)
    assert registry.signatures.sign(signed, eve)
    assert len(registry.signatures.of(signed.digest)[0]) == 2


def test_model_signings_own_tools_check_a_checkout(
    registry: Registry, signed: Version, ada: KeySigner, tmp_path: Path
) -> None:
    folder = registry.checkout(signed, tmp_path / "out")
    config = verifying.Config().use_elliptic_key_verifier(public_key=ada.key.with_suffix(".pub"))
    config.verify(folder, file_of(registry, signed))
    (folder / "adapter_config.json").write_bytes(b'{"r": 9}')
    with pytest.raises(ValueError, match="Hash mismatch"):
        config.verify(folder, file_of(registry, signed))


def test_the_signature_of_another_key_does_not_count(
    registry: Registry, signed: Version, eve: KeySigner
) -> None:
    with pytest.raises(
        SignatureError, match=r"support@1: no signature counts: .*not shown to be by the key"
    ):
        registry.signatures.verify(signed, [eve.public_key()])


def test_the_signature_of_another_version_does_not_count(
    strict: Registry, publish: Publish, ada: KeySigner
) -> None:
    first, second = publish(seed=1), publish(seed=2)  # the same files, another manifest
    strict.signatures.sign(first, ada)
    (data,) = strict.signatures.of(first.digest)[0]
    with pytest.raises(SignatureError, match="another version"):
        strict.signatures.add(second.manifest, second.digest, data)
    here = file_of(strict, first)
    there = here.parent.with_name(second.digest.removeprefix("sha256:"))
    here.parent.rename(there)
    with pytest.raises(SignatureError, match=r"support@2: .*another version, support@sha256:"):
        strict.path(second)


def test_what_was_signed_are_the_files_too(
    registry: Registry, publish: Publish, ada: KeySigner
) -> None:
    version = publish()
    subject = Subject.of(version.manifest, version.digest)
    other = Subject(subject.name, subject.digest, {**subject.files, "more.json": "0" * 64})
    registry.signatures.add(version.manifest, version.digest, make_signature(other, ada))
    with pytest.raises(SignatureError, match="not shown to be by the key"):
        registry.signatures.verify(version, [ada.public_key()])


def test_every_flipped_byte_is_found_and_refused(
    strict: Registry, signed: Version, flip: Callable[..., None]
) -> None:
    file = file_of(strict, signed)
    assert strict.path(signed).is_dir()
    for place in range(0, file.stat().st_size, 97):
        flip(file, place)
        with pytest.raises(SignatureError, match="it is not signed"):
            strict.path(signed)
        assert [problem.path for problem in strict.fsck().problems] == [
            f"signatures/{file.parent.name}/{file.name}"
        ]
        flip(file, place)
    assert strict.path(signed).is_dir()


def changed(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return a signature whose statement was changed after it was signed."""
    bundle = json.loads(data)
    statement = json.loads(b64decode(bundle["dsseEnvelope"]["payload"]))
    change(statement)
    payload = b64encode(json.dumps(statement).encode()).decode()
    return json.dumps(
        bundle | {"dsseEnvelope": bundle["dsseEnvelope"] | {"payload": payload}}
    ).encode()


@pytest.mark.parametrize(
    "change",
    [
        lambda statement: statement["predicate"]["resources"].pop(),
        lambda statement: statement["predicate"].update(more=1),
        lambda statement: statement["subject"][0]["digest"].update(sha256="0" * 64),
    ],
)
def test_a_changed_statement_does_not_count(
    registry: Registry, signed: Version, ada: KeySigner, change: Callable[..., object]
) -> None:
    (data,) = registry.signatures.of(signed.digest)[0]
    registry.signatures.forget(signed.digest)
    registry.signatures.add(signed.manifest, signed.digest, changed(data, change))
    with pytest.raises(SignatureError, match="not shown to be by the key"):
        registry.signatures.verify(signed, [ada.public_key()])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'{"dsseEnvelope": {"payload": "%%"}}',
        b'{"dsseEnvelope": {"payload": "bnVsbA=="}}',
        b'{"a": 1, "a": 2}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_what_is_no_signature_is_not_kept(
    registry: Registry, publish: Publish, data: bytes
) -> None:
    version = publish()
    with pytest.raises(SignatureError, match="damaged") as caught:
        registry.signatures.add(version.manifest, version.digest, data)
    assert "\n" not in caught.value.message
    assert registry.signatures.of(version.digest) == ([], [])


def test_other_statements_do_not_count(registry: Registry, signed: Version) -> None:
    (data,) = registry.signatures.of(signed.digest)[0]
    older = changed(data, lambda statement: statement.update(predicateType="https://x/v0.1"))
    with pytest.raises(SignatureError, match=r"states https://x/v0.1"):
        registry.signatures.add(signed.manifest, signed.digest, older)


def test_no_more_are_kept_than_a_few(registry: Registry, signed: Version) -> None:
    (data,) = registry.signatures.of(signed.digest)[0]
    for count in range(1, MOST_SIGNATURES):
        registry.signatures.add(signed.manifest, signed.digest, data + b" " * count)
    with pytest.raises(SignatureError, match="no more are kept"):
        registry.signatures.add(signed.manifest, signed.digest, data + b"\n")
    registry.signatures.add(signed.manifest, signed.digest, data)  # it is one of them


@pytest.mark.parametrize("curve", [ec.SECP384R1, ec.SECP521R1])
def test_other_curves_and_locked_keys(
    registry: Registry, publish: Publish, tmp_path: Path, curve: Callable[[], Any]
) -> None:
    version = publish()
    file = keys(tmp_path, "kim", ec.generate_private_key(curve()), b"open")
    assert KeySigner(file).is_locked
    with pytest.raises(SignatureError, match="no private key"):
        registry.signatures.sign(version, KeySigner(file, "shut"))
    assert registry.signatures.sign(version, KeySigner(file, "open"))
    trusted = TrustedKey.read(file.with_suffix(".pub"))
    assert registry.signatures.verify(version, [trusted]) == trusted


@pytest.mark.parametrize(
    "key", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256K1())]
)
def test_keys_of_other_kinds_are_refused(
    registry: Registry, publish: Publish, tmp_path: Path, key: Any
) -> None:
    file = keys(tmp_path, "old", key)
    with pytest.raises(SignatureError, match="secp256r1"):
        registry.signatures.sign(publish(), KeySigner(file))
    with pytest.raises(SignatureError, match="secp256r1"):
        TrustedKey.read(file.with_suffix(".pub"))


def refuses_use(registry: Registry, version: Version, match: str, tmp_path: Path) -> None:
    """See that no verb gives the version's bytes out."""
    for use in (
        lambda: registry.path(version),
        lambda: registry.checkout(version, tmp_path / "out"),
        lambda: registry.read_file(version, "adapter_config.json"),
    ):
        with pytest.raises(SignatureError, match=match) as caught:
            use()
        assert "\n" not in caught.value.message
    assert not (tmp_path / "out").exists()


def test_without_a_signature_nothing_is_used(
    strict: Registry, publish: Publish, ada: KeySigner, eve: KeySigner, tmp_path: Path
) -> None:
    version = publish()  # what is made here is signed after it was published
    refuses_use(strict, version, r"support@1: it is not signed; this registry asks", tmp_path)
    strict.signatures.sign(version, eve)
    refuses_use(strict, version, "not shown to be by the key", tmp_path)
    strict.signatures.sign(version, ada)
    assert strict.read_file(version, "adapter_config.json") == b'{"r": 8}'


def test_without_the_library_nothing_is_used(
    strict: Registry, signed: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [name for name in sys.modules if name.startswith("model_signing")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "model_signing", None)
    refuses_use(strict, signed, "can neither be made nor checked", tmp_path)
    with pytest.raises(SignatureError) as caught:
        strict.path(signed)
    assert "adapterhub-lite[signing]" in caught.value.hint


@pytest.mark.parametrize(
    ("trusted", "match"),
    [((), "nobody is trusted"), (("-----BEGIN PUBLIC KEY-----",), "not shown to be by the key")],
)
def test_without_a_key_nothing_is_used(
    registry: Registry, signed: Version, tmp_path: Path, trusted: tuple[str, ...], match: str
) -> None:
    registry.configure(Config(require_signature=True, trusted_keys=trusted))
    refuses_use(registry, signed, match, tmp_path)


def test_with_damaged_settings_nothing_is_used(strict: Registry, signed: Version) -> None:
    config = strict.home / "config.json"
    config.write_bytes(config.read_bytes().replace(b"require_signature", b"require_signatur"))
    with pytest.raises(IntegrityError, match=r"cannot be read: require_signatur"):
        strict.path(signed)


def test_nothing_is_taken_in_without_a_signature(
    strict: Registry, ada: KeySigner, tmp_path: Path
) -> None:
    elsewhere = Registry.open(tmp_path / "elsewhere")
    made = elsewhere.publish("far", {"a.json": b"{}"}, ManifestDraft(kind="adapter"))
    data = elsewhere.exchange.read_manifest(made.digest)
    (entry,) = made.manifest.files
    strict.exchange.write(entry.sha256, entry.size, [b"{}"])
    with pytest.raises(SignatureError, match="far@1: it is not signed"):
        strict.exchange.adopt(data, 1)
    assert strict.names() == []
    elsewhere.signatures.sign(made, ada)
    strict.signatures.add(made.manifest, made.digest, elsewhere.signatures.of(made.digest)[0][0])
    assert strict.exchange.adopt(data, 1)
    assert codec.digest_of(data) == strict.resolve("far@1").digest


def test_signatures_go_with_their_version(
    registry: Registry, publish: Publish, ada: KeySigner
) -> None:
    first, second = publish(seed=1), publish(seed=2)
    for version in (first, second):
        registry.signatures.sign(version, ada)
    folder = file_of(registry, second).parent
    registry.remove(str(first))
    assert list(folder.parent.iterdir()) == [folder]
    folder.rename(kept := folder.parent / "kept")
    registry.remove(str(second))
    kept.rename(folder)  # as if the removal had been killed
    assert registry.gc(grace=0).folders.files == 1
    assert not folder.exists()
