"""Who vouches for versions: signatures beside them, and the registry that asks for one.

::

    signatures/<hex of the version's digest>/<SHA-256 of the signature>.json

A version's digest stays what it is when it is signed. Where ``require_signature`` is set, what has
no signature by a trusted key is neither used nor taken in from elsewhere. So is everything where
that cannot be told: without the library, without a key, with a damaged signature.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from adapterhub_lite_registry import codec
from adapterhub_lite_registry.attachments import Attachments
from adapterhub_lite_registry.claims import claimed_signer
from adapterhub_lite_registry.config import ConfigStore
from adapterhub_lite_registry.errors import SignatureError
from adapterhub_lite_registry.faults import guarded
from adapterhub_lite_registry.io import FileIO
from adapterhub_lite_registry.layout import Layout
from adapterhub_lite_registry.manifest import Manifest
from adapterhub_lite_registry.problems import Problem
from adapterhub_lite_registry.signers import KeySigner, Signer, Trust, TrustedKey
from adapterhub_lite_registry.signing import Subject, find_signer, make_signature, parse_signature
from adapterhub_lite_registry.versions import Version

MAX_SIGNATURE: Final = 2 * codec.MAX_BYTES
"""No signature has more bytes: it lists a manifest's files, in base64."""
MOST_SIGNATURES: Final = 16
"""How many signatures of one version are kept."""
_DAMAGED = "the signature is not what was written: remove the file, and sign or pull again"


class Signatures:
    """Keeps signatures, makes and checks them; every method raises StorageError."""

    def __init__(self, io: FileIO, layout: Layout) -> None:
        self._files = Attachments(io, layout, layout.signatures)
        self._config = ConfigStore(io, layout)

    @guarded("sign the version")
    def sign(self, version: Version, signer: Signer) -> bool:
        """Sign a version; False if it is signed with that key already. Raises SignatureError."""
        subject = Subject.of(version.manifest, version.digest)
        own = [signer.public_key()] if isinstance(signer, KeySigner) else []
        if own and self._is_signed(subject, own):
            return False
        data = make_signature(subject, signer)
        if own:
            find_signer(subject, [data], own)
        self.add(version.manifest, version.digest, data)
        return True

    @guarded("check the signature")
    def verify(self, version: Version, trusted: Sequence[Trust] = ()) -> Trust:
        """Return by whom a version is signed: one of ``trusted``, else of the registry's own keys.

        SignatureError tells why by none. Nothing is said of the files' bytes: loading checks those.
        """
        subject = Subject.of(version.manifest, version.digest)
        try:
            return find_signer(subject, self.of(version.digest)[0], trusted or self._trusted())
        except SignatureError as error:
            raise SignatureError(f"{version}: {error.message}", hint=error.hint) from error

    @guarded("check the signature")
    def require(
        self, manifest: Manifest, digest: str, where: str, given: Sequence[bytes] = ()
    ) -> None:
        """Refuse what this registry must not use: SignatureError, if it asks for signatures.

        ``given`` are signatures that are not stored yet.
        """
        if not self._config.read().require_signature:
            return
        signatures = [*self.of(digest)[0], *given]
        try:
            find_signer(Subject.of(manifest, digest), signatures, self._trusted())
        except SignatureError as error:
            raise SignatureError(
                f"{where}: {error.message}; this registry asks for a signature by a trusted key",
                hint=error.hint or "if you trust it, sign it where it is: ahl sign REF --key KEY",
            ) from error

    @guarded("read the settings")
    def refuse_unsigned(self, what: str) -> None:
        """Refuse what comes in without a signature: SignatureError, if this registry asks for them.

        For what is made here, such as a training's result, signing comes after publishing.
        """
        if self._config.read().require_signature:
            raise SignatureError(
                f"{what} brings no signature; this registry asks for one by a trusted key",
                hint="take it into another registry (--home), sign it there and push it here",
            )

    @guarded("write the signature")
    def add(self, manifest: Manifest, digest: str, data: bytes) -> None:
        """Keep a signature, by whomever it is; SignatureError unless it is of that version."""
        if len(data) > MAX_SIGNATURE:
            raise SignatureError(f"a signature has more than {MAX_SIGNATURE:,} bytes")
        parse_signature(Subject.of(manifest, digest), data)
        name = _file_name(data)
        if len({*self._files.names(digest), name}) > MOST_SIGNATURES:
            raise SignatureError(
                f"{manifest.name} has {MOST_SIGNATURES} signatures, and no more are kept"
            )
        self._files.put(digest, name, data)

    @guarded("read the signatures")
    def of(self, digest: str) -> tuple[list[bytes], list[Problem]]:
        """Return the signatures of the version with that digest, and those that are damaged."""
        whole, problems = [], []
        for name in self._files.names(digest):
            data = self._files.read(digest, name, MAX_SIGNATURE)
            if name == _file_name(data):
                whole.append(data)
            else:
                problems.append(Problem(self._files.place(digest, name), _DAMAGED))
        return whole, problems

    @guarded("read the signatures")
    def claimed(self, version: Version) -> tuple[list[str], list[Problem]]:
        """Return by whom a version's signatures say they are, unchecked, and those of no use."""
        subject = Subject.of(version.manifest, version.digest)
        whole, problems = self.of(version.digest)
        signers = set()
        for data in whole:
            try:
                signers.add(claimed_signer(parse_signature(subject, data)))
            except SignatureError as error:
                place = self._files.place(version.digest, _file_name(data))
                problems.append(Problem(place, f"of the signatures {error.message}"))
        return sorted(signers), problems

    @guarded("remove the signatures")
    def forget(self, digest: str) -> None:
        """Remove a removed version's signatures; a power cut may leave some to a collection."""
        self._files.forget(digest)

    def _trusted(self) -> list[TrustedKey]:
        return [TrustedKey(pem) for pem in self._config.read().trusted_keys]

    def _is_signed(self, subject: Subject, trusted: Sequence[Trust]) -> bool:
        try:
            find_signer(subject, self.of(subject.digest)[0], trusted)
        except SignatureError:
            return False
        return True


def _file_name(data: bytes) -> str:
    return f"{sha256(data).hexdigest()}.json"
