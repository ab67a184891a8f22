"""By whom a signature says that it is. Nothing of it is checked, and no library is needed."""

import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final

from adapterhub_lite_registry.signlib import one_line

UNNAMED: Final = "somebody it does not name"
LOGIN: Final = "a login at sigstore"
ISSUERS: Final = ("1.3.6.1.4.1.57264.1.8", "1.3.6.1.4.1.57264.1.1")
"""Where sigstore's certificates name the provider: as a text in DER, or, formerly, plainly."""


def claimed_signer(bundle: Mapping[str, Any]) -> str:
    """Return the name of a key or a login, in the words in which checking tells it."""
    material = bundle.get("verificationMaterial")
    if not isinstance(material, Mapping):
        return UNNAMED
    key = material.get("publicKey")
    if isinstance(key, Mapping):
        hint = str(key.get("hint"))
        return f"the key {hint[:16]}" if re.fullmatch("[0-9a-f]{64}", hint) else UNNAMED
    certificate = _certificate(material)
    return UNNAMED if certificate is None else _login(certificate)


def _certificate(material: Mapping[str, Any]) -> str | None:
    """Return the first certificate, in base64: the one that there is, or the chain's own."""
    try:
        chain = material.get("x509CertificateChain")
        held = material["certificate"] if chain is None else chain["certificates"][0]
        return str(held["rawBytes"])
    except (LookupError, TypeError):
        return None


def _login(certificate: str) -> str:
    """Return who logged in and whose word that is, as far as it can be read here."""
    try:
        from cryptography import x509
    except ImportError:
        return LOGIN
    try:
        found = x509.load_der_x509_certificate(b64decode(certificate, validate=True))
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        who = one_line(next(iter(names)).value)
    except (ValueError, TypeError, StopIteration, x509.ExtensionNotFound):
        return LOGIN
    told = {one.oid.dotted_string: one.value for one in found.extensions}
    issuers = [told[oid] for oid in ISSUERS if oid in told]
    values = [one.value for one in issuers if isinstance(one, x509.UnrecognizedExtension)]
    return f"{who} of {one_line(_text(values[0]))}" if values else who


def _text(value: bytes) -> str:
    """Return a text as it stands, or without DER's tag and length of a short UTF8String."""
    short = value[:1] == b"\x0c" and len(value) > 1 and value[1] == len(value) - 2
    return (value[2:] if short else value).decode("utf-8", "replace")
