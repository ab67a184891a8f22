"""Who signs, and who is trusted: by a key of their own, or by a login that sigstore vouches for."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from adapterhub_lite_registry.signlib import library, told

CURVES = ("secp256r1", "secp384r1", "secp521r1")


class Signer(Protocol):
    """Somebody who signs."""

    def configure(self, config: Any) -> None:
        """Say so to a ``model_signing.signing.Config``; what it raises becomes SignatureError."""


class Trust(Protocol):
    """Somebody who is trusted; ``str`` names them."""

    def configure(self, config: Any, folder: Path) -> None:
        """Say so to a ``model_signing.verifying.Config``; files may be written to ``folder``."""


@dataclass(frozen=True)
class KeySigner:
    """Signs with a private key of an elliptic curve, in a PEM file."""

    key: Path
    password: str | None = None

    def configure(self, config: Any) -> None:
        """Sign with the key."""
        config.use_elliptic_key_signer(private_key=self.key, password=self._password)

    @property
    def is_locked(self) -> bool:
        """Whether the key needs a password; SignatureError if it cannot be read."""
        with told(f"{self.key} cannot be read"):
            return b"ENCRYPTED" in self.key.read_bytes()

    def public_key(self) -> "TrustedKey":
        """Return the public half; SignatureError if the key is none, or of another kind."""
        library()
        with told(f"{self.key} is no private key of an elliptic curve, in PEM"):
            from cryptography.hazmat.primitives.serialization import load_pem_private_key

            key = load_pem_private_key(self.key.read_bytes(), self._password)
            return TrustedKey(_pem(key.public_key()))

    @property
    def _password(self) -> bytes | None:
        return None if self.password is None else self.password.encode()


@dataclass(frozen=True)
class SigstoreSigner:
    """Signs without a key, as whom a login names: a person, or a workload such as a CI job.

    The token is an OpenID Connect provider's. Without one it is the environment's, as in CI, or a
    browser is opened.
    """

    token: str | None = None

    def configure(self, config: Any) -> None:
        """Sign as whom the token names."""
        config.use_sigstore_signer(identity_token=self.token, use_ambient_credentials=True)


@dataclass(frozen=True)
class TrustedKey:
    """Trusts a public key, in PEM as :meth:`read` makes it."""

    pem: str

    @classmethod
    def read(cls, file: Path) -> "TrustedKey":
        """Return the key in a PEM file; SignatureError if it is none, or of another kind."""
        library()
        with told(f"{file} is no public key of an elliptic curve, in PEM"):
            from cryptography.hazmat.primitives.serialization import load_pem_public_key

            return cls(_pem(load_pem_public_key(file.read_bytes())))

    def configure(self, config: Any, folder: Path) -> None:
        """Believe what the key's owner signed."""
        file = folder / "key.pub"
        file.write_text(self.pem, encoding="ascii")
        config.use_elliptic_key_verifier(public_key=file)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of its PEM, which signatures name it by."""
        return sha256(self.pem.encode()).hexdigest()

    def __str__(self) -> str:
        return f"the key {self.fingerprint[:16]}"


@dataclass(frozen=True)
class TrustedIdentity:
    """Trusts a login: an e-mail address or a workload's URL, as that provider vouches for it.

    Checking needs sigstore's roots of trust, which its library fetches.
    """

    identity: str
    issuer: str

    def configure(self, config: Any, folder: Path) -> None:
        """Believe what was signed as that identity."""
        config.use_sigstore_verifier(identity=self.identity, oidc_issuer=self.issuer)

    def __str__(self) -> str:
        return f"{self.identity} of {self.issuer}"


def _pem(key: Any) -> str:
    """Return a public key in PEM, always the same; ValueError unless signatures can be by it."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise ValueError(f"one of {', '.join(CURVES)} is needed")
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
